#include "config.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "put.h"

#include "show.h"
#include "value.h"
#include "wire.h"

extern char **environ;

/* Those that mean the program rather than us. */
static const int spawn_signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1,
	SIGUSR2, SIGCONT };

#define N_SIGNALS (sizeof(spawn_signals) / sizeof(spawn_signals[0]))

/* --- the command ---------------------------------------------------------- */

static void
spawn_put_argv(struct buffer *b, char **argv)
{
	put_key(b, "argv");
	for (size_t i = 0; argv[i] != NULL; i++) {
		buffer_putc(b, i == 0 ? '[' : ',');
		value_put_string(b, "an argument", argv[i]);
	}
	buffer_putc(b, ']');
}

/* A name that stands there twice counts once, and first, as for getenv(3). */
static bool
spawn_has_variable(char **end, size_t len)
{
	for (char **e = environ; e < end; e++)
		if (strncmp(*e, *end, len + 1) == 0)
			return true;
	return false;
}

/* The protocol has no way for what is no UTF-8. */
static bool
spawn_is_utf8(const char *text)
{
	json_t *string = json_string(text);
	bool is = string != NULL;

	json_decref(string);
	return is;
}

static void
spawn_put_env(struct buffer *b)
{
	const char *comma = "";

	put_key(b, "env");
	buffer_putc(b, '{');
	for (char **e = environ; *e != NULL; e++) {
		size_t len = strcspn(*e, "=");

		if ((*e)[len] == '\0' || len == 0 || spawn_has_variable(e, len))
			continue;
		if (!spawn_is_utf8(*e)) {
			evctl_warn("the variable %.*s is left out: it is no "
				   "UTF-8",
			    (int)len, *e);
			continue;
		}
		buffer_append(b, comma, strlen(comma));
		put_string(b, *e, len);
		buffer_putc(b, ':');
		put_string(b, *e + len + 1, strlen(*e + len + 1));
		comma = ",";
	}
	buffer_putc(b, '}');
}

/* One that is left to itself has nothing of ours, which others wait for. */
static void
spawn_put_fds(struct wire *wire, bool leave)
{
	if (leave) {
		buffer_puts(&wire->out, ",\"on_end\":\"leave\"");
		return;
	}
	buffer_puts(&wire->out,
	    ",\"watcher\":\"spawn\",\"fds\":3,\"stdin\":0,\"stdout\":1,"
	    "\"stderr\":2");
	for (int i = 0; i < 3; i++)
		wire->fds[wire->n_fds++] = i;
}

static void
spawn_put(struct wire *wire, const struct evctl *evctl)
{
	struct buffer *b = &wire->out;
	char *cwd = getcwd(NULL, 0);

	if (cwd == NULL)
		evctl_die(STATUS_ERROR, "the working directory: %s",
		    strerror(errno));
	buffer_puts(b, "{\"cmd\":\"spawn\"");
	spawn_put_argv(b, evctl->args);
	spawn_put_env(b);
	put_key(b, "cwd");
	value_put_string(b, "the working directory", cwd);
	spawn_put_fds(wire, evctl->options[OPTION_LEAVE] != NULL);
	buffer_puts(b, "}\n");
	if (buffer_len(b) > LINE_SIZE_MAX)
		evctl_die(STATUS_ERROR,
		    "the arguments and the environment are a line of %zu "
		    "bytes, and evd takes %d: env -i leaves variables out",
		    buffer_len(b), LINE_SIZE_MAX);
	free(cwd);
}

/* --- signals -------------------------------------------------------------- */

/* From here on they come by the descriptor; what is ignored remains that. */
static int
spawn_take_signals(void)
{
	struct sigaction action;
	sigset_t set;
	int fd;

	sigemptyset(&set);
	for (size_t i = 0; i < N_SIGNALS; i++)
		if (sigaction(spawn_signals[i], NULL, &action) == 0 &&
		    action.sa_handler != SIG_IGN)
			sigaddset(&set, spawn_signals[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		evctl_die(STATUS_ERROR, "signalfd: %s", strerror(errno));
	return fd;
}

/* The program gets it, and all that it has started in its group. */
static void
spawn_forward_signal(struct wire *wire)
{
	struct signalfd_siginfo info;

	if (read(wire->other, &info, sizeof(info)) != sizeof(info))
		return;
	buffer_puts(&wire->out,
	    "{\"cmd\":\"kill\",\"watcher\":\"spawn\",\"group\":true,"
	    "\"signum\":");
	put_u64(&wire->out, info.ssi_signo);
	buffer_puts(&wire->out, "}\n");
}

/* --- the end -------------------------------------------------------------- */

static int
spawn_status(const struct message *message)
{
	const struct member *status = message_find(message, "exit");
	const struct member *signum = message_find(message, "signal");

	if (status != NULL)
		return (int)status->integer;
	if (signum != NULL)
		return STATUS_SIGNAL + (int)signum->integer;
	return STATUS_ERROR;
}

/* A program that can't be had has the status that a shell would give. */
static void
spawn_check_error(const struct message *message)
{
	struct buffer text;
	int status = STATUS_REFUSED;

	buffer_init(&text, NULL);
	if (!wire_read_error(message, &text)) {
		buffer_fini(&text);
		return;
	}
	buffer_putc(&text, '\0');
	if (strstr(buffer_data(&text), ": ENOENT (") != NULL)
		status = STATUS_NOT_FOUND;
	else if (strstr(buffer_data(&text), ": EACCES (") != NULL ||
	    strstr(buffer_data(&text), ": ENOEXEC (") != NULL)
		status = STATUS_NOT_EXECUTABLE;
	evctl_die(status, "%s", buffer_data(&text));
}

/* The pid, when the program runs. */
static void
spawn_show_pid(const struct evctl *evctl, const struct member *result)
{
	if (evctl->options[OPTION_JSON] != NULL)
		show_line(result->raw);
	else
		printf("%lld\n",
		    (long long)json_integer_value(json_object_get(result->tree,
			"pid")));
}

static bool
spawn_is_error_of_kill(const struct message *message)
{
	const struct member *error = message_find(message, "error");
	const char *cmd = NULL;

	if (error != NULL)
		json_unpack((json_t *)error->tree, "{s:s}", "cmd", &cmd);
	return cmd != NULL && strcmp(cmd, "kill") == 0;
}

static int
spawn_wait(const struct evctl *evctl, struct wire *wire,
    struct message *message)
{
	bool leave = evctl->options[OPTION_LEAVE] != NULL;
	enum wire_event event;

	for (;;) {
		event = wire_next(wire, INFINITY);
		if (event == WIRE_END)
			wire_die(wire);
		if (event == WIRE_OTHER)
			spawn_forward_signal(wire);
		if (event != WIRE_LINE)
			continue;
		wire_parse(wire, message);
		/* A signal that came after its end is for nobody. */
		if (spawn_is_error_of_kill(message))
			continue;
		spawn_check_error(message);
		if (message_find(message, "result") != NULL) {
			if (!leave)
				continue;
			spawn_show_pid(evctl, message_find(message, "result"));
			return STATUS_EVENT;
		}
		wire_is_end(wire, message);
		if (evctl->options[OPTION_JSON] != NULL)
			show_event(evctl, message, wire->line);
		return spawn_status(message);
	}
}

static int
subcommand_spawn_run(struct evctl *evctl)
{
	struct message message;
	struct wire wire;
	int status;

	wire_init(&wire);
	spawn_put(&wire, evctl);
	message_init(&message);
	wire_open(&wire, evctl, &message);
	if (evctl->options[OPTION_LEAVE] == NULL)
		wire.other = spawn_take_signals();
	status = spawn_wait(evctl, &wire, &message);
	message_fini(&message);
	wire_close(&wire);
	return status;
}

static void
spawn_more(void)
{
	puts("The program has evctl's descriptors 0 to 2, environment and "
	     "working directory.\nIts exit status is evctl's, 128 and the "
	     "number if a signal has ended it; 127 if\nit was not found, 126 "
	     "if it can't be executed.  HUP, INT, QUIT, TERM, USR1, USR2\nand "
	     "CONT are passed on to it.  If evctl is killed, so is it.");
}

const struct subcommand subcommand_spawn = {
	.name = "spawn",
	.usage = "[--] PROGRAM [ARGUMENT...]",
	.help = "Have the daemon start a program, and wait for its end",
	.more = spawn_more,
	.options = OPTION_BIT(OPTION_LEAVE) | OPTION_BIT(OPTION_SESSION),
	.args_min = 1,
	.args_max = -1,
	.is_prefix = true,
	.run = subcommand_spawn_run,
};
