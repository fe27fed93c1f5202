#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"
#include "socket.h"

#include "show.h"
#include "wire.h"

#define READ_SIZE 65536

/* Takes more commands; at the end of the input that is also the daemon's. */
static void
run_read(struct wire *wire, const char *name)
{
	char *room = buffer_reserve(&wire->out, READ_SIZE);
	ssize_t n = read(wire->other, room, READ_SIZE);

	if (n > 0) {
		buffer_commit(&wire->out, n);
	} else if (n == 0) {
		wire->other = -1;
		wire->ends = true;
	} else if (errno != EINTR && errno != EAGAIN) {
		evctl_die(STATUS_ERROR, "%s: %s", name, strerror(errno));
	}
}

/* For people errors are apart from the rest, and say which line is wrong. */
static void
run_show_error(const struct message *message)
{
	const struct member *error = message_find(message, "error");
	const json_t *line = json_object_get(error->tree, "line");
	struct buffer text;

	buffer_init(&text, NULL);
	wire_read_error(message, &text);
	evctl_warn("line %lld: %.*s", (long long)json_integer_value(line),
	    (int)buffer_len(&text), buffer_data(&text));
	buffer_fini(&text);
}

static bool
run_is_empty(const struct member *result)
{
	return result->raw.len <= 2;
}

/* Returns whether it was an error. */
static bool
run_show(const struct evctl *evctl, const struct wire *wire,
    const struct message *message)
{
	bool is_error = message_find(message, "error") != NULL;
	const struct member *result = message_find(message, "result");

	if (!evctl->readable)
		show_line(wire->line);
	else if (is_error)
		run_show_error(message);
	else if (result == NULL)
		show_event(evctl, message, wire->line);
	else if (!run_is_empty(result))
		show_line(result->raw);
	return is_error;
}

/*
 * After a half-close the end of a session and the daemon's look the same: see
 * whether somebody still answers.
 */
static void
run_check_daemon(const struct wire *wire)
{
	struct message message;
	struct wire again;

	if (!wire->ends)
		wire_die(wire);
	wire_init(&again);
	again.path = memory_strdup(wire->path);
	again.fd = socket_connect(wire->path);
	if (again.fd < 0)
		wire_die(wire);
	buffer_puts(&again.out, "{\"cmd\":\"now\"}\n");
	message_init(&message);
	wire_call(&again, &message);
	message_fini(&message);
	wire_close(&again);
}

static int
run_loop(const struct evctl *evctl, struct wire *wire, const char *name)
{
	int status = STATUS_EVENT;
	struct message message;
	enum wire_event event;
	bool ended = false;

	message_init(&message);
	do {
		event = wire_next(wire, INFINITY);
		if (event == WIRE_OTHER)
			run_read(wire, name);
		if (event != WIRE_LINE)
			continue;
		wire_parse(wire, &message);
		if (run_show(evctl, wire, &message))
			status = STATUS_REFUSED;
		ended = wire_is_end(wire, &message);
	} while (event != WIRE_END);
	if (!ended)
		run_check_daemon(wire);
	message_fini(&message);
	return status;
}

static int
run_open(const char *name)
{
	int fd = strcmp(name, "-") == 0 ? STDIN_FILENO :
					  open(name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		evctl_die(STATUS_ERROR, "%s: %s", name, strerror(errno));
	return fd;
}

/*
 * hello has a connection of its own: on this one the first line, and the
 * first that errors count, is that of the file.
 */
static void
run_say_hello(const struct evctl *evctl)
{
	struct message message;
	struct wire wire;

	wire_init(&wire);
	message_init(&message);
	wire_open(&wire, evctl, &message);
	message_fini(&message);
	wire_close(&wire);
}

static int
subcommand_run_run(struct evctl *evctl)
{
	const char *name = evctl->n_args == 0 ? "-" : evctl->args[0];
	int input = run_open(name);
	struct wire wire;
	int status;

	run_say_hello(evctl);
	wire_init(&wire);
	wire_connect(&wire, evctl);
	wire.is_printing = true;
	wire.other = input;
	status = run_loop(evctl, &wire, name);
	wire_close(&wire);
	return status;
}

static void
run_more(void)
{
	puts("FILE has the lines of evd-protocol(7), and - is standard input. "
	     "All that the\ndaemon says is written.  At the end of the file "
	     "the session goes on while any\nwatcher of it is active.  The "
	     "exit status is 4 if a command was refused.");
}

const struct subcommand subcommand_run = {
	.name = "run",
	.usage = "[FILE|-]",
	.help = "Give the daemon the commands of a file, and show what it says",
	.more = run_more,
	.args_max = 1,
	.run = subcommand_run_run,
};
