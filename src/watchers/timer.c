#include "config.h"

#include <math.h>
#include <stddef.h>

#include "put.h"
#include "watcher.h"

/*
 * The relative timer, as libev's ev_timer: monotonic clock, one-shot or with
 * `repeat`.  libev's own repetition is not used: it skips ticks that it is
 * late for, and here all count.
 */
struct timer {
	struct watcher base;
	struct deadline deadline; /* set unless a tick is pending */
	double repeat;		  /* seconds; 0: one-shot */
	/*
	 * Active: a tick, in the session's time, and how many periods the next
	 * one is behind it; adding them up one by one would drift.  Inactive:
	 * what remains, in seconds, or if absolute the CLOCK_MONOTONIC time of
	 * the first tick.
	 */
	double start;
	double periods;
	/* The base's mark: it is absolute. */
};

_Static_assert(offsetof(struct timer, deadline) == sizeof(struct watcher),
    "behind the base");

enum { TIMER_AFTER, TIMER_AT, TIMER_REPEAT };

struct timer_args {
	uint32_t given;
	double after, at, repeat;
};

_Static_assert(sizeof(struct timer_args) <= WATCHER_ARGS_MAX, "room");

static const struct param timer_params[] = {
	[TIMER_AFTER] = PARAM("after", PARAM_SECONDS, struct timer_args, after,
	    .min = 0, .max = SECONDS_MAX),
	[TIMER_AT] = PARAM("at", PARAM_SECONDS, struct timer_args, at,
	    .min = -SECONDS_MAX, .max = SECONDS_MAX),
	[TIMER_REPEAT] = PARAM("repeat", PARAM_PERIOD, struct timer_args,
	    repeat, .min = 1e-9, .max = SECONDS_MAX),
};

static double
timer_now(const struct timer *t)
{
	return timeline_time(&t->base.host->timeline);
}

static double
timer_next(const struct timer *t)
{
	return t->start + t->periods * t->repeat;
}

static void
timer_set_next(struct timer *t, double next)
{
	t->start = next;
	t->periods = 0;
}

/* Inactive: from when, in session time, the first tick is counted. */
static double
timer_origin(const struct timer *t)
{
	return t->base.mark ? -t->base.host->timeline.lag : timer_now(t);
}

static void
timer_arm(struct timer *t)
{
	timeline_set(&t->base.host->timeline, &t->deadline, timer_next(t));
}

static void
timer_disarm(struct timer *t)
{
	timeline_unset(&t->base.host->timeline, &t->deadline);
}

/* The next tick has come. */
static void
timer_fire(struct timer *t)
{
	timer_disarm(t);
	if (t->repeat > 0)
		t->periods++;
	else
		watcher_halt(&t->base);
	watcher_fired(&t->base);
}

static void
timer_on_time(struct watcher *w)
{
	timer_fire((struct timer *)w);
}

static int
timer_set(struct watcher *w, const void *values, bool fresh,
    struct error *error)
{
	struct timer *t = (struct timer *)w;
	const struct timer_args *args = values;
	bool after = args->given & PARAM_BIT(TIMER_AFTER);
	bool at = args->given & PARAM_BIT(TIMER_AT);

	if (after && at)
		return error_set(error, ERROR_INVALID_ARGUMENT,
		    "members \"after\" and \"at\" are both there, expected one");
	if (fresh && !after && !at)
		return error_set(error, ERROR_INVALID_ARGUMENT,
		    "member \"after\" is missing, expected it or \"at\"");
	if (after || at) {
		timer_set_next(t, after ? args->after : args->at);
		t->base.mark = at;
	}
	if (args->given & PARAM_BIT(TIMER_REPEAT)) {
		timer_set_next(t, timer_next(t));
		t->repeat = args->repeat;
	}
	return 0;
}

static int
timer_start(struct watcher *w, struct error *error)
{
	struct timer *t = (struct timer *)w;

	(void)error;
	timer_set_next(t, timer_next(t) + timer_origin(t));
	t->base.mark = false;
	timer_arm(t);
	return 0;
}

/* What remains is kept for the next start, as libev does. */
static void
timer_stop(struct watcher *w)
{
	struct timer *t = (struct timer *)w;

	timer_disarm(t);
	timer_set_next(t, fmax(timer_next(t) - timer_now(t), 0));
}

/* libev's ev_timer_again. */
static int
timer_reset(struct watcher *w, struct error *error)
{
	struct timer *t = (struct timer *)w;
	struct cleared none;

	if (t->repeat == 0) {
		watcher_deactivate(w);
		return 0;
	}
	timer_disarm(t);
	timer_set_next(t, t->repeat);
	t->base.mark = false;
	return w->active ? timer_start(w, error) :
			   watcher_start(w, &none, error);
}

/* Pending: it has ticked at next, and each `repeat` since. */
static void
timer_count(struct timer *t, double now)
{
	double ticks = 1;

	if (t->repeat > 0)
		ticks += floor((now - timer_next(t)) / t->repeat);
	ticks = fmin(ticks, INTEGER_MAX);
	t->base.overrun += (uint64_t)ticks;
	t->periods += ticks;
	/* `repeat` was set to 0 meanwhile: that tick was the last. */
	if (t->repeat == 0)
		watcher_halt(&t->base);
}

static void
timer_catch_up(struct watcher *w)
{
	struct timer *t = (struct timer *)w;
	double now = timer_now(t);

	if (timer_next(t) <= now && deadline_is_set(&t->deadline))
		timer_fire(t);
	if (w->active && timer_next(t) <= now)
		timer_count(t, now);
}

static void
timer_rearm(struct watcher *w)
{
	struct timer *t = (struct timer *)w;

	if (!deadline_is_set(&t->deadline))
		timer_arm(t);
}

static void
timer_put_state(const struct watcher *w, struct buffer *b)
{
	const struct timer *t = (const struct timer *)w;
	double next = timer_next(t);

	if (w->active)
		next -= timer_now(t);
	else if (t->base.mark)
		next -= timeline_monotonic(&w->host->timeline);
	put_key(b, "remaining");
	put_time_ns(b, next);
	put_key(b, "repeat");
	put_double(b, t->repeat);
}

const struct watcher_class timer_class = {
	.name = { "timer", 5 },
	.revents = EV_TIMER,
	.gather = GATHER_TIMEOUT,
	.size = sizeof(struct timer),
	.params = timer_params,
	.n_params = N_PARAMS(timer_params),
	.live = PARAM_BIT(TIMER_REPEAT),
	.set = timer_set,
	.on_time = timer_on_time,
	.start = timer_start,
	.stop = timer_stop,
	.reset = timer_reset,
	.catch_up = timer_catch_up,
	.rearm = timer_rearm,
	.put_state = timer_put_state,
};
