#include "config.h"

#include "schedule.h"

#include <errno.h>
#include <math.h>

#include "cron.h"

/* Whole seconds that a double and what is done with it hold exactly. */
#define TIME_LIMIT 1e15

static int64_t
schedule_second(double time)
{
	return (int64_t)floor(fmin(fmax(time, -TIME_LIMIT), TIME_LIMIT));
}

int
schedule_read_calendar(struct calendar *calendar, struct slice text,
    struct error *error)
{
	char fault[CRON_FAULT_SIZE], found[EXCERPT_SIZE];

	if (text.len > SCHEDULE_TEXT_MAX)
		return error_set(error, ERROR_INVALID_ARGUMENT,
		    "member \"calendar\" is \"%s\" (%zu bytes), expected a "
		    "cron expression of at most %d bytes",
		    message_excerpt(found, text), text.len, SCHEDULE_TEXT_MAX);
	if (cron_parse(calendar, text.p, text.len, fault) < 0)
		return error_set(error, ERROR_INVALID_ARGUMENT,
		    "member \"calendar\" is \"%s\": %s",
		    message_excerpt(found, text), fault);
	return 0;
}

int
schedule_read_zone(struct zone **zone, struct zones *zones, struct slice name,
    struct error *error)
{
	char found[EXCERPT_SIZE];
	int err = zones_find(zones, name.p, name.len, zone);

	if (err == -EINVAL)
		return error_set(error, ERROR_INVALID_ARGUMENT,
		    "member \"timezone\" is \"%s\", expected the name of a "
		    "time zone of tzdata, such as \"Europe/Berlin\"",
		    message_excerpt(found, name));
	if (err < 0)
		return error_set_system(error, -err,
		    "member \"timezone\" is \"%s\", which can't be read",
		    message_excerpt(found, name));
	return 0;
}

double
schedule_next(const struct schedule *s, double behind)
{
	int64_t next = calendar_next(&s->calendar, s->zone,
	    schedule_second(behind));

	return next == CALENDAR_NEVER ? INFINITY : (double)next;
}

uint64_t
schedule_count(const struct schedule *s, double behind, double to)
{
	return calendar_count(&s->calendar, s->zone, schedule_second(behind),
	    schedule_second(to));
}
