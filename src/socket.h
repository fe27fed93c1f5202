#ifndef EVD_SOCKET_H
#define EVD_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

/*
 * The daemon's socket in the file system, and the lock beside it ("PATH.lock")
 * that makes two daemons started at once one daemon.
 */
struct socket_listener {
	int fd;
	int lock;
	bool adopted; /* its path is none of our business */
	char *path;   /* owned */
	dev_t dev;    /* of what we bound: only that is ever unlinked */
	ino_t ino;
	struct sockaddr_un address; /* as the kernel has it */
	socklen_t address_len;
};

/*
 * Listens at a path with the permissions given.  Takes over the socket of a
 * daemon that is dead; refuses where a living one listens, or where there is
 * something that is not a socket.  Returns 0, or -1 after logging why.
 */
int socket_listen(struct socket_listener *, const char *path, mode_t);

/*
 * Takes a socket that somebody else has bound and listens on, and will listen
 * on when we are gone.  Returns 0, or -1 after logging why.
 */
int socket_adopt(struct socket_listener *, int fd);

/* Whether another process that has it has shut it down. */
bool socket_is_shut(const struct socket_listener *);

/*
 * Nobody can connect any more, and another daemon can take the path; who had
 * connected before can still be accepted.  One that was adopted is left as it
 * is: who connects then waits for the next daemon.
 */
void socket_retire(struct socket_listener *);

/* Retires it where that was not done, and closes it. */
void socket_close(struct socket_listener *);

/* Whether it is the other end of a connection to the listener. */
bool socket_is_client_end(const struct socket_listener *, int fd);

/*
 * Returns a connected descriptor, which blocks, or a negative errno; -EAGAIN
 * if a listener has not had room for it within 10 s.
 */
int socket_connect(const char *path);
/* For messages: who listens at the other end of such a one; 0: nobody can say. */
pid_t socket_listener_pid(int fd);

#endif
