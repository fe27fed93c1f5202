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
 *
 * Each verb, type and member has one of these rights, as a column of its
 * table.  --no-paths and --no-spawn take the last two away from everybody.
 */
enum right {
	RIGHT_ALL,
	RIGHT_FULL,
	RIGHT_PATHS, /* full, and not --no-paths */
	RIGHT_SPAWN, /* full, and not --no-spawn */
	RIGHTS
};

/* As protocol text and `make check` have them. */
extern const char *const right_names[RIGHTS];

struct peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	char command[16];  /* its name then; any bytes; "" if not to be had */
	bool full;	   /* rights */
	char why_not[120]; /* if not: the rule that says so */
	bool no_paths;	   /* the daemon's options */
	bool no_spawn;
};

void peer_init(struct peer *, int fd);

/* Who it is, for the log; control bytes are escaped.  Returns out. */
#define PEER_SHOWN_SIZE 128
const char *peer_show(const struct peer *, char out[PEER_SHOWN_SIZE]);

/* NULL if the peer has the right, else the rule that says that not. */
const char *peer_refuses(const struct peer *, enum right);

#endif
