#ifndef EVD_ACCEPTOR_H
#define EVD_ACCEPTOR_H

#include <ev.h>
#include <stdbool.h>

#include "buffer.h"
#include "refusal.h"
#include "socket.h"
#include "wallclock.h"

/*
 * Accepts connections, some in each iteration.  Where the machine can't, it
 * tries again a little later; where there is no descriptor for one, it says so
 * to the peer, with one that is kept for that.
 */
struct acceptor {
	/* The owner's to set; pointers are borrowed. */
	struct ev_loop *loop;
	struct socket_listener *listener;
	struct buffer_pool *pool;
	struct refusals *refusals;
	const struct wallclock *clock;
	/* Takes the descriptor. */
	void (*on_accept)(struct acceptor *, int fd);
	/*
	 * Somebody else who has the socket has shut it down: it would be
	 * readable for ever, and nobody can connect any more.  Calls
	 * acceptor_stop().
	 */
	void (*on_shut)(struct acceptor *);

	/* Private. */
	struct ev_io watcher;
	struct ev_timer pause;
	int reserve; /* a descriptor to close when there are no more */
	bool stopped;
};

/* Fatal if there is no descriptor for the reserve. */
void acceptor_init(struct acceptor *);
void acceptor_fini(struct acceptor *);

void acceptor_start(struct acceptor *);
/* For good. */
void acceptor_stop(struct acceptor *);

/* Accepts all who have connected by now, also if it was stopped. */
void acceptor_drain(struct acceptor *);

#endif
