#include "config.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "put.h"

#include "show.h"
#include "text.h"
#include "wire.h"

/* The same as in hello: both are told in one form. */
static void
version_print_json(const struct wire *wire, struct slice hello)
{
	struct buffer b;

	buffer_init(&b, NULL);
	buffer_puts(&b, "{\"evctl\":\"" PACKAGE_VERSION "\",\"socket\":");
	put_string(&b, wire->path, strlen(wire->path));
	put_key(&b, "evd");
	buffer_append(&b, hello.p, hello.len);
	buffer_putc(&b, '}');
	show_line((struct slice){ buffer_data(&b), buffer_len(&b) });
	buffer_fini(&b);
}

static void
version_print(const struct wire *wire, const json_t *hello)
{
	const char *version = "?";
	int protocol = 0, libev[2] = { 0, 0 }, pid = 0;
	struct buffer path;

	json_unpack((json_t *)hello, "{s?s, s?i, s?[ii], s?i}", "version",
	    &version, "protocol", &protocol, "libev", &libev[0], &libev[1],
	    "pid", &pid);
	buffer_init(&path, NULL);
	text_put(&path, wire->path, strlen(wire->path));
	printf("evd %s, protocol %d, libev %d.%d, pid %d, at %.*s\n", version,
	    protocol, libev[0], libev[1], pid, (int)buffer_len(&path),
	    buffer_data(&path));
	buffer_fini(&path);
}

static int
subcommand_version_run(struct evctl *evctl)
{
	const struct member *hello;
	struct message message;
	struct wire wire;

	if (evctl->readable)
		puts("evctl " PACKAGE_VERSION);
	wire_init(&wire);
	message_init(&message);
	wire_open(&wire, evctl, &message);
	hello = message_find(&message, "result");
	if (evctl->readable)
		version_print(&wire, hello->tree);
	else
		version_print_json(&wire, hello->raw);
	message_fini(&message);
	wire_close(&wire);
	return STATUS_EVENT;
}

const struct subcommand subcommand_version = {
	.name = "version",
	.usage = "",
	.help = "Show the versions of evctl and of the daemon",
	.run = subcommand_version_run,
};
