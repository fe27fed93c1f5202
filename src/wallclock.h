#ifndef EVD_WALLCLOCK_H
#define EVD_WALLCLOCK_H

#include <ev.h>
#include <stdbool.h>

/*
 * The loop's two clocks.
 *
 * Both are read once an iteration and at wallclock_update(), so that all that
 * happens in between has one time.  The wall clock is the monotonic one plus
 * an offset, which changes only when somebody sets the clock (slewing moves
 * both): the kernel tells libev by a timerfd that is cancelled then, and a
 * far-off periodic of our own tells us.  libev's own wall clock may stay
 * behind for half a second after a jump, and its periodics with it; ours
 * don't.  That periodic also keeps libev from waking up for nothing.
 */
struct wallclock {
	struct ev_loop *loop;
	double monotonic; /* CLOCK_MONOTONIC, seconds */
	double offset;	  /* CLOCK_REALTIME is that much ahead of it */
	bool suspect;	  /* libev saw the wall clock jump */
	struct ev_periodic far;
	struct ev_prepare prepare;
	struct ev_check check;
	/*
	 * The wall clock was set: it showed `before` then, and shows
	 * wallclock_now() now.  The user's to fill; NULL: nobody cares.
	 */
	void (*on_jump)(struct wallclock *, double before);
	void *data; /* the user's */
};

void wallclock_init(struct wallclock *, struct ev_loop *);
void wallclock_fini(struct wallclock *);

/* Reads the clocks anew. */
void wallclock_update(struct wallclock *);

/* Seconds of CLOCK_MONOTONIC as of the last reading. */
static inline double
wallclock_monotonic(const struct wallclock *clock)
{
	return clock->monotonic;
}

/* Seconds since the Epoch as of the last reading. */
static inline double
wallclock_now(const struct wallclock *clock)
{
	return clock->monotonic + clock->offset;
}

#endif
