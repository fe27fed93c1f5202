#include "config.h"

#include <math.h>
#include <string.h>

#include "put.h"
#include "watcher.h"

/*
 * The periodic, as libev's ev_periodic: it fires when the wall clock shows
 * offset + N * interval, or with interval 0 once, at offset.  Slots that the
 * clock is set over are skipped, and slots that come again fire again.
 */
struct periodic {
	struct watcher base;
	struct wallclock_alarm alarm; /* set unless an event is pending */
	double offset, interval;
	/*
	 * Active: the next slot's time, and its number; if offset or interval
	 * were changed since, that of the last slot not behind it.
	 */
	double next, slot;
	bool jumps;
	bool jumped; /* pending, and the clock was set */
};

enum { PERIODIC_OFFSET, PERIODIC_INTERVAL, PERIODIC_JUMPS };

struct periodic_args {
	uint32_t given;
	double offset, interval;
	bool jumps;
};

_Static_assert(sizeof(struct periodic_args) <= WATCHER_ARGS_MAX, "room");

static const struct param periodic_params[] = {
	[PERIODIC_OFFSET] = PARAM("offset", PARAM_SECONDS, struct periodic_args,
	    offset, .min = -SECONDS_MAX, .max = SECONDS_MAX),
	[PERIODIC_INTERVAL] = PARAM("interval", PARAM_PERIOD,
	    struct periodic_args, interval, .min = 1e-6, .max = SECONDS_MAX),
	[PERIODIC_JUMPS] = PARAM("jumps", PARAM_BOOL, struct periodic_args,
	    jumps),
};

#define PERIODIC_OF(a) \
	((struct periodic *)((char *)(a)-offsetof(struct periodic, alarm)))

static double
periodic_now(const struct periodic *p)
{
	return wallclock_now(p->base.host->clock);
}

/* Slots are counted from the one next to the Epoch: small numbers, exact. */
static double
periodic_slot_time(const struct periodic *p, double slot)
{
	return fmod(p->offset, p->interval) + slot * p->interval;
}

/* The number of the first slot behind a time. */
static double
periodic_slot_after(const struct periodic *p, double time)
{
	double slot = floor(time / p->interval) - 2;

	/* The bound is for times at which a double can't tell slots apart. */
	for (int i = 0; i < 5 && periodic_slot_time(p, slot) <= time; i++)
		slot++;
	return slot;
}

static void
periodic_advance(struct periodic *p, double time)
{
	p->slot = periodic_slot_after(p, time);
	p->next = periodic_slot_time(p, p->slot);
}

static void
periodic_fire(struct periodic *p)
{
	wallclock_alarm_unset(&p->alarm);
	if (p->interval > 0)
		periodic_advance(p, p->next);
	else
		watcher_halt(&p->base);
	watcher_fired(&p->base);
}

/* Pending: counts the slots up to a time, and goes on behind it. */
static void
periodic_count(struct periodic *p, double time)
{
	double slot;

	if (p->next > time)
		return;
	/* `interval` was set to 0 meanwhile: that slot is the last. */
	if (p->interval == 0) {
		p->base.overrun++;
		watcher_halt(&p->base);
		return;
	}
	slot = periodic_slot_after(p, time);
	p->base.overrun += (uint64_t)fmax(slot - p->slot, 1);
	periodic_advance(p, time);
}

static void
periodic_on_time(struct wallclock_alarm *alarm)
{
	periodic_fire(PERIODIC_OF(alarm));
}

/* What is due by some time has fired, or is counted. */
static void
periodic_catch_up_to(struct periodic *p, double time)
{
	if (p->next > time)
		return;
	if (wallclock_alarm_is_set(&p->alarm))
		periodic_fire(p);
	if (p->base.active)
		periodic_count(p, time);
}

static void
periodic_on_jump(struct wallclock_alarm *alarm, double before)
{
	struct periodic *p = PERIODIC_OF(alarm);
	bool set;

	periodic_catch_up_to(p, before);
	if (!p->base.active)
		return;
	set = wallclock_alarm_is_set(alarm);
	if (p->interval > 0)
		periodic_advance(p, periodic_now(p));
	if (set)
		wallclock_alarm_set(alarm, p->next);
	if (p->jumps) {
		p->jumped = true;
		watcher_fired(&p->base);
	}
}

static int
periodic_set(struct watcher *w, const void *values, bool fresh,
    struct error *error)
{
	struct periodic *p = (struct periodic *)w;
	const struct periodic_args *args = values;

	(void)error;
	if (fresh) {
		wallclock_alarm_init(&p->alarm, w->host->clock);
		p->alarm.on_time = periodic_on_time;
		p->alarm.on_jump = periodic_on_jump;
	}
	if (args->given & PARAM_BIT(PERIODIC_OFFSET))
		p->offset = args->offset;
	if (args->given & PARAM_BIT(PERIODIC_INTERVAL))
		p->interval = args->interval;
	if (args->given & PARAM_BIT(PERIODIC_JUMPS))
		p->jumps = args->jumps;
	/* The next slot stays; those behind it are the new ones. */
	if (w->active && p->interval > 0)
		p->slot = periodic_slot_after(p, p->next) - 1;
	return 0;
}

static int
periodic_start(struct watcher *w, struct error *error)
{
	struct periodic *p = (struct periodic *)w;

	(void)error;
	if (p->interval > 0)
		periodic_advance(p, periodic_now(p));
	else
		p->next = p->offset;
	wallclock_alarm_start(&p->alarm);
	wallclock_alarm_set(&p->alarm, p->next);
	return 0;
}

static void
periodic_stop(struct watcher *w)
{
	wallclock_alarm_stop(&((struct periodic *)w)->alarm);
}

/* libev's ev_periodic_again. */
static int
periodic_reset(struct watcher *w, struct error *error)
{
	struct cleared none;

	return w->active ? periodic_start(w, error) :
			   watcher_start(w, &none, error);
}

static void
periodic_catch_up(struct watcher *w)
{
	struct periodic *p = (struct periodic *)w;

	periodic_catch_up_to(p, periodic_now(p));
}

static void
periodic_rearm(struct watcher *w)
{
	struct periodic *p = (struct periodic *)w;

	if (!wallclock_alarm_is_set(&p->alarm))
		wallclock_alarm_set(&p->alarm, p->next);
}

static void
periodic_put_event(const struct watcher *w, struct buffer *b)
{
	const struct periodic *p = (const struct periodic *)w;

	if (w->active) {
		put_key(b, "at");
		put_time(b, p->next);
	}
	if (p->jumped)
		buffer_puts(b, ",\"jump\":true");
}

static void
periodic_put_state(const struct watcher *w, struct buffer *b)
{
	const struct periodic *p = (const struct periodic *)w;

	put_key(b, "offset");
	put_double(b, p->offset);
	put_key(b, "interval");
	put_double(b, p->interval);
	if (p->jumps)
		buffer_puts(b, ",\"jumps\":true");
	if (w->active) {
		put_key(b, "at");
		put_time(b, p->next);
	}
}

static void
periodic_forget(struct watcher *w)
{
	((struct periodic *)w)->jumped = false;
}

const struct watcher_class periodic_class = {
	.name = { "periodic", 8 },
	.revents = EV_PERIODIC,
	.size = sizeof(struct periodic),
	.params = periodic_params,
	.n_params = N_PARAMS(periodic_params),
	.live = PARAM_BIT(PERIODIC_OFFSET) | PARAM_BIT(PERIODIC_INTERVAL),
	.set = periodic_set,
	.start = periodic_start,
	.stop = periodic_stop,
	.reset = periodic_reset,
	.catch_up = periodic_catch_up,
	.rearm = periodic_rearm,
	.put_event = periodic_put_event,
	.put_state = periodic_put_state,
	.forget = periodic_forget,
};
