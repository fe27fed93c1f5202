#ifndef EVD_PIDPOLL_H
#define EVD_PIDPOLL_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "fdpoll.h"

/*
 * The ends of processes, by their pidfds.  A process has ended when it is a
 * zombie: its pidfd is readable from then on, so they are edge-triggered, or
 * a zombie that nobody reaps would keep the loop spinning.  When its parent
 * has reaped it, which the second edge tells (a hang-up), its exit status can
 * be had.  Where the kernel has no such edge, zombies that are waited for are
 * looked at now and then.
 */
enum pidpoll_until { UNTIL_ENDED, UNTIL_REAPED };

struct pidpoll;

struct pidpoll_item {
	struct fdpoll_item item; /* first */
	struct pidpoll *poll;
	enum pidpoll_until until;
	bool zombie; /* and waited for: is in the list of those */
	TAILQ_ENTRY(pidpoll_item) entry;
	/* Called once; the item is not added any more, and may be freed. */
	void (*on_done)(struct pidpoll_item *);
};

TAILQ_HEAD(pidpoll_list, pidpoll_item);

struct pidpoll {
	struct fdpoll poll;
	struct ev_timer timer;
	struct pidpoll_list zombies;
	size_t n_zombies;
	double wait; /* seconds, until each zombie is looked at again */
};

/* Returns 0 or a negative errno. */
int pidpoll_init(struct pidpoll *, struct ev_loop *);
void pidpoll_fini(struct pidpoll *);

/* The pidfd is borrowed.  Returns 0 or a negative errno. */
int pidpoll_add(struct pidpoll *, struct pidpoll_item *, int pidfd,
    enum pidpoll_until);
/* Before the pidfd is closed.  Does nothing for one not added. */
void pidpoll_del(struct pidpoll_item *);

/* Makes all that has ended be told now. */
void pidpoll_gather(struct pidpoll *);

#endif
