#include "config.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "civil.h"
#include "put.h"
#include "zones.h"

#include "show.h"
#include "value.h"
#include "wire.h"

/* A time as the clocks of its zone show it, and how far that is from UTC. */
static void
calendar_print_time(const struct zone *zone, int64_t seconds)
{
	static const char *const weekdays[] = { "Sun", "Mon", "Tue", "Wed",
		"Thu", "Fri", "Sat" };
	struct zone_span span;
	struct civil day;
	int64_t local, days, of_day;
	int offset;

	zone_span_at(zone, seconds, &span);
	local = seconds + span.offset;
	days = civil_div(local, DAY_S);
	of_day = civil_mod(local, DAY_S);
	day = civil_from_days(days);
	offset = span.offset < 0 ? -span.offset : span.offset;
	printf("%s %04lld-%02d-%02d %02d:%02d:%02d %c%02d:%02d\n",
	    weekdays[civil_weekday(days)], (long long)day.year, day.month,
	    day.day, (int)(of_day / 3600), (int)(of_day / 60 % 60),
	    (int)(of_day % 60), span.offset < 0 ? '-' : '+', offset / 3600,
	    offset / 60 % 60);
}

static struct zone *
calendar_zone(struct zones *zones, const char *name)
{
	struct zone *zone;

	/* The daemon has found it; if we can't, the times are in ours. */
	if (name == NULL || zones_find(zones, name, strlen(name), &zone) < 0)
		return zones_own(zones);
	return zone;
}

static void
calendar_print(const struct evctl *evctl, const json_t *result)
{
	const json_t *next = json_object_get(result, "next"), *time;
	struct zones zones;
	struct zone *zone;
	size_t i;

	zones_init(&zones);
	zone = calendar_zone(&zones, evctl->options[OPTION_TIMEZONE]);
	json_array_foreach(next, i, time)
	    calendar_print_time(zone, (int64_t)json_number_value(time));
	zone_unref(zone);
	zones_fini(&zones);
}

static void
calendar_put(struct buffer *b, const struct evctl *evctl)
{
	const char *zone = evctl->options[OPTION_TIMEZONE];
	const char *from = evctl->options[OPTION_FROM];
	const char *number = evctl->options[OPTION_NUMBER];

	buffer_puts(b, "{\"cmd\":\"calendar\",\"calendar\":");
	value_put_string(b, "EXPRESSION", evctl->args[0]);
	if (zone != NULL) {
		put_key(b, "timezone");
		value_put_string(b, "--timezone", zone);
	}
	if (from != NULL) {
		put_key(b, "from");
		value_put_json(b, "--from", from);
	}
	if (number != NULL) {
		put_key(b, "next");
		value_put_json(b, "--number", number);
	}
	buffer_puts(b, "}\n");
}

static int
subcommand_calendar_run(struct evctl *evctl)
{
	const struct member *result;
	struct message message;
	struct wire wire;

	wire_init(&wire);
	calendar_put(&wire.out, evctl);
	message_init(&message);
	wire_open(&wire, evctl, &message);
	result = wire_call(&wire, &message);
	if (evctl->readable)
		calendar_print(evctl, result->tree);
	else
		show_line(result->raw);
	message_fini(&message);
	wire_close(&wire);
	return STATUS_EVENT;
}

const struct subcommand subcommand_calendar = {
	.name = "calendar",
	.usage = "EXPRESSION",
	.help = "Show when a cron expression comes next",
	.options = OPTION_BIT(OPTION_FROM) | OPTION_BIT(OPTION_NUMBER) |
	    OPTION_BIT(OPTION_TIMEZONE),
	.args_min = 1,
	.args_max = 1,
	.run = subcommand_calendar_run,
};
