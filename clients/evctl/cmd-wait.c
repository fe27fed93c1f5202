#include "config.h"

#include <math.h>

#include "show.h"
#include "spec.h"

/* Whether there was an event. */
static bool
wait_for_event(const struct evctl *evctl, struct wire *wire, double deadline,
    struct message *message)
{
	for (;;) {
		switch (wire_next_message(wire, deadline, message)) {
		case WIRE_LINE:
			if (message_find(message, "event") == NULL)
				break;
			show_event(evctl, message, wire->line);
			return true;
		case WIRE_DEADLINE:
			return false;
		case WIRE_OTHER:
		case WIRE_END:
			break;
		}
	}
}

static int
subcommand_wait_run(struct evctl *evctl)
{
	double timeout = evctl_seconds(evctl, OPTION_TIMEOUT, INFINITY);
	double deadline = wire_now() + timeout;
	struct message message;
	struct specs specs;
	struct wire wire;
	bool came;

	wire_init(&wire);
	spec_put(&wire, evctl, &specs);
	message_init(&message);
	wire_open(&wire, evctl, &message);
	wire.is_printing = true;
	came = wait_for_event(evctl, &wire, deadline, &message);
	message_fini(&message);
	wire_close(&wire);
	return came ? STATUS_EVENT : STATUS_TIME_LIMIT;
}

const struct subcommand subcommand_wait = {
	.name = "wait",
	.usage = SPEC_USAGE,
	.help = "Wait for the first event of any of these watchers",
	.more = spec_help,
	.options = OPTION_BIT(OPTION_DATA) | OPTION_BIT(OPTION_NAME) |
	    OPTION_BIT(OPTION_PRIORITY) | OPTION_BIT(OPTION_SESSION) |
	    OPTION_BIT(OPTION_TIMEOUT),
	.args_min = 1,
	.args_max = -1,
	.run = subcommand_wait_run,
};
