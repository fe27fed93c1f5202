#include "config.h"

#include <math.h>

#include "put.h"
#include "recur.h"

/*
 * The periodic, as libev's ev_periodic: it fires when the wall clock shows
 * offset + N * interval, or with interval 0 once, at offset.
 */
struct periodic {
	struct recur recur;
	double offset, interval;
};

enum { PERIODIC_OFFSET, PERIODIC_INTERVAL, PERIODIC_JUMPS };

struct periodic_args {
	uint32_t given;
	double offset, interval;
	bool jumps;
};

static const struct param periodic_params[] = {
	[PERIODIC_OFFSET] = PARAM("offset", PARAM_SECONDS, struct periodic_args,
	    offset, .min = -SECONDS_MAX, .max = SECONDS_MAX),
	[PERIODIC_INTERVAL] = PARAM("interval", PARAM_PERIOD,
	    struct periodic_args, interval, .min = 1e-6, .max = SECONDS_MAX),
	[PERIODIC_JUMPS] = PARAM("jumps", PARAM_BOOL, struct periodic_args,
	    jumps),
};

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

static double
periodic_next(const struct recur *r, double behind)
{
	const struct periodic *p = (const struct periodic *)r;

	if (p->interval == 0)
		return INFINITY;
	/* Of such a time the next double is as good. */
	return fmax(periodic_slot_time(p, periodic_slot_after(p, behind)),
	    nextafter(behind, INFINITY));
}

static uint64_t
periodic_count(const struct recur *r, double behind, double to)
{
	const struct periodic *p = (const struct periodic *)r;

	if (p->interval == 0)
		return 0;
	return (uint64_t)fmax(
	    periodic_slot_after(p, to) - periodic_slot_after(p, behind), 0);
}

/* One time is due also if it is past. */
static double
periodic_begin(const struct recur *r, double now)
{
	const struct periodic *p = (const struct periodic *)r;

	return p->interval == 0 ? p->offset : periodic_next(r, now);
}

static const struct recur_rule periodic_rule = {
	.begin = periodic_begin,
	.next = periodic_next,
	.count = periodic_count,
};

static int
periodic_set(struct watcher *w, const void *values, bool fresh,
    struct error *error)
{
	struct periodic *p = (struct periodic *)w;
	const struct periodic_args *args = values;

	(void)error;
	if (fresh)
		recur_init(&p->recur, &periodic_rule);
	if (args->given & PARAM_BIT(PERIODIC_OFFSET))
		p->offset = args->offset;
	if (args->given & PARAM_BIT(PERIODIC_INTERVAL))
		p->interval = args->interval;
	if (args->given & PARAM_BIT(PERIODIC_JUMPS))
		p->recur.jumps = args->jumps;
	return 0;
}

static void
periodic_put_state(const struct watcher *w, struct buffer *b)
{
	const struct periodic *p = (const struct periodic *)w;

	put_key(b, "offset");
	put_double(b, p->offset);
	put_key(b, "interval");
	put_double(b, p->interval);
	recur_put_state(&p->recur, b);
}

const struct watcher_class periodic_class = {
	.name = { "periodic", 8 },
	.revents = EV_PERIODIC,
	.gather = GATHER_TIMEOUT,
	.size = sizeof(struct periodic),
	.params = periodic_params,
	.n_params = sizeof(periodic_params) / sizeof(periodic_params[0]),
	.live = PARAM_BIT(PERIODIC_OFFSET) | PARAM_BIT(PERIODIC_INTERVAL),
	.set = periodic_set,
	.on_time = recur_on_time,
	.start = recur_start,
	.stop = recur_stop,
	.reset = recur_reset,
	.catch_up = recur_catch_up,
	.rearm = recur_rearm,
	.put_event = recur_put_event,
	.put_state = periodic_put_state,
	.put_next = recur_put_next,
	.forget = recur_forget,
};
