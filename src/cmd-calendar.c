#include "config.h"

#include <math.h>

#include "command.h"
#include "put.h"
#include "schedule.h"

/* The verb that only looks at a calendar. */

#define N_PARAMS(params) (sizeof(params) / sizeof((params)[0]))

struct calendar_args {
	uint32_t given;
	struct slice calendar;
	struct slice timezone;
	double from;
	int64_t next;
};

enum { CALENDAR_CALENDAR, CALENDAR_TIMEZONE, CALENDAR_FROM, CALENDAR_NEXT };

static const struct param calendar_params[] = {
	[CALENDAR_CALENDAR] = PARAM("calendar", PARAM_STRING,
	    struct calendar_args, calendar, .required = true),
	[CALENDAR_TIMEZONE] = PARAM("timezone", PARAM_STRING,
	    struct calendar_args, timezone),
	[CALENDAR_FROM] = PARAM("from", PARAM_SECONDS, struct calendar_args,
	    from, .min = -SECONDS_MAX, .max = SECONDS_MAX),
	[CALENDAR_NEXT] = PARAM("next", PARAM_INTEGER, struct calendar_args,
	    next, .min = 1, .max = SCHEDULE_NEXT_MAX),
};

static enum command_result
command_calendar_run(struct command_call *call)
{
	const struct calendar_args *args = call->args;
	struct command_context *context = call->context;
	double time = args->given & PARAM_BIT(CALENDAR_FROM) ?
	    args->from :
	    wallclock_now(context->clock);
	int n = args->given & PARAM_BIT(CALENDAR_NEXT) ? (int)args->next :
							 SCHEDULE_NEXT_MAX;
	struct schedule schedule;

	if (schedule_read_calendar(&schedule.calendar, args->calendar,
		call->error) < 0)
		return COMMAND_ERROR;
	if (!(args->given & PARAM_BIT(CALENDAR_TIMEZONE)))
		schedule.zone = zones_own(context->zones);
	else if (schedule_read_zone(&schedule.zone, context->zones,
		     args->timezone, call->error) < 0)
		return COMMAND_ERROR;
	put_member(call->out, "next");
	buffer_putc(call->out, '[');
	for (int i = 0; i < n; i++) {
		time = schedule_next(&schedule, time);
		if (isinf(time))
			break;
		if (i > 0)
			buffer_putc(call->out, ',');
		put_time(call->out, time);
	}
	buffer_putc(call->out, ']');
	zone_unref(schedule.zone);
	return COMMAND_DONE;
}

const struct command command_calendar = {
	.name = { "calendar", 8 },
	.params = calendar_params,
	.n_params = N_PARAMS(calendar_params),
	.run = command_calendar_run,
};
