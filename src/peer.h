#ifndef EVD_PEER_H
#define EVD_PEER_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Who is at the other end of a socket, as of connect(2), and what it may ask
 * for: evd does for a peer only what the peer could do itself.  What touches
 * a path, a process or the daemon's signals needs full rights: the peer's uid
 * is evd's own, and so are its user, mount and pid namespaces (another's
 * paths and pids mean something else there).
 */
struct peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	bool full;	   /* rights */
	char why_not[120]; /* if not: the rule that says so */
};

void peer_init(struct peer *, int fd);

#endif
