#ifndef EVD_TIMELINE_H
#define EVD_TIMELINE_H

#include <ev.h>
#include <stdbool.h>

#include "deadlines.h"
#include "wallclock.h"

/*
 * The time of a session, and its deadlines.
 *
 * A session's time is CLOCK_MONOTONIC but for the time for which it was
 * suspended: then it stands still.  All its deadlines are by its own time, in
 * a heap of its own, so that to suspend and to resume it is as little work for
 * a million deadlines as for one.
 *
 * The heaps of all sessions stand in another one, by when their first deadline
 * is due, and for the first of those there is one timer of libev's.  An
 * iteration of the loop expires TIMELINES_EXPIRED deadlines at most, and those
 * of one session only TIMELINE_TURN at a time where others have some, too.
 */
#define TIMELINES_EXPIRED 1000
#define TIMELINE_TURN	  100

/* Those of all sessions. */
struct timelines {
	struct ev_loop *loop;
	const struct wallclock *clock;
	struct deadlines turns;
	struct ev_timer timer; /* for the first turn */
	double timer_at;       /* while it is active */
	struct ev_check check;
	struct ev_idle busy; /* active while some are due */
};

struct timeline {
	struct timelines *all;
	/*
	 * The time of a deadline has come, and it is not set any more.  May
	 * set and unset any.  The owner's to fill.
	 */
	void (*on_time)(struct timeline *, struct deadline *);
	struct deadlines deadlines;
	struct deadline turn; /* unless there is none, or it is suspended */
	double served;	      /* CLOCK_MONOTONIC, when it had its last turn */
	double lag;	      /* for which it was suspended, in seconds */
	bool suspended;
	bool ended;
	double time; /* suspended: what its clocks show, as below */
	double now;
};

/* The clock must read the clocks before. */
void timelines_init(struct timelines *, const struct wallclock *);
void timelines_fini(struct timelines *);

void timeline_init(struct timeline *, struct timelines *);
/* Nothing expires any more; what is set, or will be, does not matter. */
void timeline_end(struct timeline *);

/* Seconds; by this its deadlines are. */
double timeline_time(const struct timeline *);
/* What it shows: seconds of CLOCK_MONOTONIC, and since the Epoch. */
double timeline_monotonic(const struct timeline *);
double timeline_now(const struct timeline *);

/* Sets a deadline, or sets it anew; in the past too: then it comes at once. */
void timeline_set(struct timeline *, struct deadline *, double time);
void timeline_unset(struct timeline *, struct deadline *);

/* Whether all that was due by then has expired; suspended: it has. */
bool timeline_has_expired(const struct timeline *, double time);

/* The clocks stand still, or go on.  Neither may be done twice. */
void timeline_suspend(struct timeline *);
void timeline_resume(struct timeline *);

#endif
