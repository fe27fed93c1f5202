#ifndef EVD_WALLCLOCK_H
#define EVD_WALLCLOCK_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

/*
 * The loop's two clocks, and alarms by the wall clock.
 *
 * Both are read once an iteration and at wallclock_update(), so that all that
 * happens in between has one time.  The wall clock is the monotonic one plus
 * an offset, which changes only when somebody sets the clock (slewing moves
 * both): the kernel tells libev by a timerfd that is cancelled then, and a
 * far-off periodic of our own tells us.  libev's own wall clock may stay
 * behind for half a second after a jump, and its periodics with it; ours
 * don't.  That periodic also keeps libev from waking up for nothing.
 *
 * When the clock was set all active alarms hear of it, but not all in one
 * iteration: there may be many.  One that is looked at before its turn has
 * come is told first.
 */
struct wallclock_alarm {
	struct ev_timer timer;
	struct wallclock *clock;
	TAILQ_ENTRY(wallclock_alarm) entry;
	uint32_t jump; /* the last one that it has heard of */
	bool active;
	double at; /* while it is set */
	/* The wall clock shows the time; the alarm is not set any more. */
	void (*on_time)(struct wallclock_alarm *);
	/*
	 * The wall clock was set: it showed `before` then, and shows
	 * wallclock_now() now.  Called for all active alarms; what is set is
	 * by the old clock and to be set again.
	 */
	void (*on_jump)(struct wallclock_alarm *, double before);
};

TAILQ_HEAD(wallclock_alarms, wallclock_alarm);

struct wallclock {
	struct ev_loop *loop;
	double monotonic; /* CLOCK_MONOTONIC, seconds */
	double offset;	  /* CLOCK_REALTIME is that much ahead of it */
	bool suspect;	  /* libev saw the wall clock jump */
	struct ev_periodic far;
	struct ev_prepare prepare;
	struct ev_check check;
	struct ev_idle busy;		/* active while there are stale ones */
	uint32_t jump;			/* how often it was set */
	double before;			/* what it showed at the last jump */
	struct wallclock_alarms alarms; /* the active ones */
	struct wallclock_alarms stale;	/* those that have not heard of it */
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

/* The two functions are the caller's to fill. */
void wallclock_alarm_init(struct wallclock_alarm *, struct wallclock *);

/* From start to stop the alarm hears of jumps. */
void wallclock_alarm_start(struct wallclock_alarm *);
void wallclock_alarm_stop(struct wallclock_alarm *);

/* Tells an alarm of a jump that it has not heard of; before it is looked at. */
void wallclock_alarm_settle(struct wallclock_alarm *);

/* Sets an active alarm to a time, in the past too: then it comes at once. */
void wallclock_alarm_set(struct wallclock_alarm *, double at);
/* The alarm stays active, but no time is set. */
void wallclock_alarm_unset(struct wallclock_alarm *);

static inline bool
wallclock_alarm_is_set(const struct wallclock_alarm *alarm)
{
	return ev_is_active(&alarm->timer) || ev_is_pending(&alarm->timer);
}

#endif
