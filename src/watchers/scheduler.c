#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "put.h"
#include "recur.h"
#include "schedule.h"

/*
 * The scheduler, as libev's ev_periodic with a reschedule callback: here it
 * is a cron expression that says when, in the daemon's time zone or another.
 */
struct scheduler {
	struct recur recur;
	struct schedule schedule; /* with a zone from registration on; owned */
	char *text;		  /* of the expression; owned, and charged */
	bool zone_given;	  /* its name is charged */
};

enum { SCHEDULER_CALENDAR, SCHEDULER_TIMEZONE };

struct scheduler_args {
	uint32_t given;
	struct slice calendar;
	struct slice timezone;
};

static const struct param scheduler_params[] = {
	[SCHEDULER_CALENDAR] = PARAM("calendar", PARAM_STRING,
	    struct scheduler_args, calendar),
	[SCHEDULER_TIMEZONE] = PARAM("timezone", PARAM_STRING,
	    struct scheduler_args, timezone),
};

static const struct schedule *
scheduler_schedule(const struct recur *r)
{
	return &((const struct scheduler *)r)->schedule;
}

static double
scheduler_next(const struct recur *r, double behind)
{
	return schedule_next(scheduler_schedule(r), behind);
}

static uint64_t
scheduler_count(const struct recur *r, double behind, double to)
{
	return schedule_count(scheduler_schedule(r), behind, to);
}

static double
scheduler_begin(const struct recur *r, double now)
{
	return scheduler_next(r, now);
}

static const struct recur_rule scheduler_rule = {
	.begin = scheduler_begin,
	.next = scheduler_next,
	.count = scheduler_count,
};

/* --- members -------------------------------------------------------------- */

/* What is charged for them. */
static size_t
scheduler_size(const struct scheduler *s)
{
	return (s->text == NULL ? 0 : strlen(s->text)) +
	    (s->zone_given ? strlen(zone_name(s->schedule.zone)) : 0);
}

/* The values of the members given, and as they are of the others. */
static int
scheduler_read(struct scheduler *s, const struct scheduler_args *args,
    struct schedule *schedule, struct error *error)
{
	bool calendar = args->given & PARAM_BIT(SCHEDULER_CALENDAR);
	bool zone = args->given & PARAM_BIT(SCHEDULER_TIMEZONE);
	struct account *account = s->recur.base.host->account;
	size_t size = (calendar ? args->calendar.len : 0) +
	    (zone ? args->timezone.len : 0);

	*schedule = s->schedule;
	if (calendar &&
	    schedule_read_calendar(&schedule->calendar, args->calendar, error) <
		0)
		return -1;
	if (account_charge(account, LIMIT_BYTES, size, error) < 0)
		return -1;
	if (zone &&
	    schedule_read_zone(&schedule->zone, s->recur.base.host->zones,
		args->timezone, error) < 0) {
		account_discharge(account, LIMIT_BYTES, size);
		return -1;
	}
	return 0;
}

static int
scheduler_set(struct watcher *w, const void *values, bool fresh,
    struct error *error)
{
	struct scheduler *s = (struct scheduler *)w;
	const struct scheduler_args *args = values;
	struct account *account = w->host->account;
	struct schedule schedule;

	if (fresh && !(args->given & PARAM_BIT(SCHEDULER_CALENDAR)))
		return error_set(error, ERROR_INVALID_ARGUMENT,
		    "member \"calendar\" is missing, expected a cron "
		    "expression, such as \"0 9 * * MON-FRI\"");
	if (scheduler_read(s, args, &schedule, error) < 0)
		return -1;
	if (fresh)
		recur_init(&s->recur, &scheduler_rule);
	if (args->given & PARAM_BIT(SCHEDULER_CALENDAR)) {
		if (s->text != NULL)
			account_discharge(account, LIMIT_BYTES,
			    strlen(s->text));
		free(s->text);
		s->text = memory_copy(args->calendar.p, args->calendar.len);
	}
	if (args->given & PARAM_BIT(SCHEDULER_TIMEZONE)) {
		if (s->zone_given)
			account_discharge(account, LIMIT_BYTES,
			    strlen(zone_name(s->schedule.zone)));
		if (s->schedule.zone != NULL)
			zone_unref(s->schedule.zone);
		s->zone_given = true;
	} else if (fresh) {
		schedule.zone = zones_own(w->host->zones);
	}
	s->schedule = schedule;
	return 0;
}

static void
scheduler_fini(struct watcher *w)
{
	struct scheduler *s = (struct scheduler *)w;

	account_discharge(w->host->account, LIMIT_BYTES, scheduler_size(s));
	free(s->text);
	if (s->schedule.zone != NULL)
		zone_unref(s->schedule.zone);
}

static void
scheduler_put_state(const struct watcher *w, struct buffer *b)
{
	const struct scheduler *s = (const struct scheduler *)w;

	put_key(b, "calendar");
	put_string(b, s->text, strlen(s->text));
	if (s->zone_given) {
		const char *name = zone_name(s->schedule.zone);

		put_key(b, "timezone");
		put_string(b, name, strlen(name));
	}
	recur_put_state(&s->recur, b);
}

const struct watcher_class scheduler_class = {
	.name = { "scheduler", 9 },
	.revents = EV_PERIODIC,
	.gather = GATHER_TIMEOUT,
	.size = sizeof(struct scheduler),
	.params = scheduler_params,
	.n_params = sizeof(scheduler_params) / sizeof(scheduler_params[0]),
	.set = scheduler_set,
	.on_time = recur_on_time,
	.start = recur_start,
	.stop = recur_stop,
	.reset = recur_reset,
	.catch_up = recur_catch_up,
	.rearm = recur_rearm,
	.put_event = recur_put_event,
	.put_state = scheduler_put_state,
	.put_next = recur_put_next,
	.forget = recur_forget,
	.fini = scheduler_fini,
};
