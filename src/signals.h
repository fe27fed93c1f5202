#ifndef EVD_SIGNALS_H
#define EVD_SIGNALS_H

#include <ev.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "listeners.h"

/*
 * Signals to the daemon, and who watches them.  They come by a signalfd
 * rather than libev's ev_signal: so real-time signals, which queue, are
 * counted and not merged, and a signal once had stays had: it is blocked from
 * then on, and does nothing to evd when nobody watches it any more.  (libev
 * would give it back its default, which for most is the end of evd.)
 */
#define SIGNALS_MAX 64 /* the highest number */

/* Part of a watcher. */
struct signal_watch {
	int signum;
	bool fed;		/* of fed signals only */
	struct listener of_all; /* unless fed */
	struct listener of_set;
	/* May add and remove any watch, also its own. */
	void (*on_signal)(struct signal_watch *, uint64_t times);
};

/* The daemon's. */
struct signals {
	struct ev_loop *loop;
	struct ev_io reader;
	struct ev_timer timer; /* a round is not over */
	int fd;
	sigset_t mask; /* those had */
	struct listeners lists[SIGNALS_MAX + 1];
};

/* One session's, for those that are fed. */
struct signals_set {
	struct listeners lists[SIGNALS_MAX + 1];
};

/* Returns 0 or a negative errno. */
int signals_init(struct signals *, struct ev_loop *);
void signals_fini(struct signals *);

/* NULL if clients may watch the signal, else why not. */
const char *signals_refuse(int signum);

/* free() it, when no watch is left in it. */
struct signals_set *signals_set_new(void);

/* Returns 0 or a negative errno, and then nothing is added. */
int signals_add(struct signals *, struct signals_set *, struct signal_watch *);
void signals_del(struct signals *, struct signals_set *, struct signal_watch *);

/* Tells all of what has come. */
void signals_gather(struct signals *);

/*
 * Begins to tell a set's watches of a signal, and goes on with that: up to n
 * of them.  signals_feed_some() returns true when all were told; until then
 * no other signal may be fed to the set.
 */
void signals_feed(struct signals_set *, int signum);
bool signals_feed_some(struct signals_set *, int signum, size_t n);

#endif
