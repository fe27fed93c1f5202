#include "config.h"

#include <jansson.h>

#include "put.h"

#include "show.h"
#include "value.h"
#include "wire.h"

static int
subcommand_send_run(struct evctl *evctl)
{
	const struct member *result;
	struct message message;
	struct wire wire;
	bool sent;

	wire_init(&wire);
	buffer_puts(&wire.out, "{\"cmd\":\"send\",\"session\":");
	value_put_string(&wire.out, "SESSION", evctl->args[0]);
	put_key(&wire.out, "watcher");
	value_put_name(&wire.out, "WATCHER", evctl->args[1]);
	buffer_puts(&wire.out, "}\n");

	message_init(&message);
	wire_open(&wire, evctl, &message);
	result = wire_call(&wire, &message);
	sent = json_is_true(json_object_get(result->tree, "sent"));
	if (evctl->options[OPTION_JSON] != NULL)
		show_line(result->raw);
	if (!sent)
		evctl_warn("'%s' of '%s' is not active: nothing was sent",
		    evctl->args[1], evctl->args[0]);
	message_fini(&message);
	wire_close(&wire);
	return sent ? STATUS_EVENT : STATUS_ERROR;
}

const struct subcommand subcommand_send = {
	.name = "send",
	.usage = "SESSION WATCHER",
	.help = "Wake an async watcher of a session",
	.args_min = 2,
	.args_max = 2,
	.run = subcommand_send_run,
};
