#include "config.h"

#include <math.h>

#include "show.h"
#include "spec.h"

#define PACE_S 0.1

/* A held watcher fires again once its event was acknowledged. */
static void
watch_put_ack(struct wire *wire)
{
	buffer_puts(&wire->out, "{\"cmd\":\"ack\",\"reply\":false}\n");
}

static bool
watch_is_last(const struct message *message)
{
	const struct member *active = message_find(message, "active");

	return active != NULL && active->kind == MEMBER_FALSE;
}

static int
watch_loop(const struct evctl *evctl, struct wire *wire,
    const struct specs *specs, double end)
{
	double ack = INFINITY;
	size_t active = specs->n;
	struct message message;
	int status = STATUS_EVENT;

	message_init(&message);
	while (active > 0) {
		enum wire_event event = wire_next_message(wire, fmin(end, ack),
		    &message);

		if (event == WIRE_END)
			break;
		if (event == WIRE_DEADLINE && end <= ack) {
			status = STATUS_TIME_LIMIT;
			break;
		}
		if (event == WIRE_DEADLINE) {
			watch_put_ack(wire);
			ack = INFINITY;
			continue;
		}
		if (message_find(&message, "event") == NULL)
			continue;
		show_event(evctl, &message, wire->line);
		active -= watch_is_last(&message);
		if (specs->held && isinf(ack))
			ack = wire_now() +
			    evctl_seconds(evctl, OPTION_PACE, PACE_S);
	}
	message_fini(&message);
	return status;
}

static int
subcommand_watch_run(struct evctl *evctl)
{
	double end = wire_now() +
	    evctl_seconds(evctl, OPTION_TIMEOUT, INFINITY);
	struct message hello;
	struct specs specs;
	struct wire wire;
	int status;

	wire_init(&wire);
	spec_put(&wire, evctl, &specs);
	message_init(&hello);
	wire_open(&wire, evctl, &hello);
	message_fini(&hello);
	wire.is_printing = true;
	status = watch_loop(evctl, &wire, &specs, end);
	wire_close(&wire);
	return status;
}

const struct subcommand subcommand_watch = {
	.name = "watch",
	.usage = SPEC_USAGE,
	.help = "Show the events of watchers, until none of them is active",
	.more = spec_help,
	.options = OPTION_BIT(OPTION_DATA) | OPTION_BIT(OPTION_NAME) |
	    OPTION_BIT(OPTION_ONCE) | OPTION_BIT(OPTION_PACE) |
	    OPTION_BIT(OPTION_PRIORITY) | OPTION_BIT(OPTION_SESSION) |
	    OPTION_BIT(OPTION_TIMEOUT),
	.args_min = 1,
	.args_max = -1,
	.run = subcommand_watch_run,
};
