#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "memory.h"
#include "param.h"

#include "evctl.h"
#include "text.h"

extern const struct subcommand subcommand_calendar, subcommand_ls,
    subcommand_run, subcommand_send, subcommand_spawn, subcommand_stats,
    subcommand_version, subcommand_wait, subcommand_watch;

/* In the order of --help. */
static const struct subcommand *const subcommands[] = {
	&subcommand_watch,
	&subcommand_wait,
	&subcommand_spawn,
	&subcommand_run,
	&subcommand_send,
	&subcommand_ls,
	&subcommand_stats,
	&subcommand_calendar,
	&subcommand_version,
	NULL,
};

enum option_kind {
	KIND_SWITCH,
	KIND_TEXT,
	KIND_SECONDS,
	KIND_TIME,
	KIND_INTEGER,
};

static const struct option_info {
	const char *name;
	const char *arg; /* NULL: a switch */
	enum option_kind kind;
	int min, max; /* of an integer */
	const char *text;
} option_infos[OPTIONS] = {
	[OPTION_DATA] = { "data", "JSON", KIND_TEXT, 0, 0,
	    "given back in each event" },
	[OPTION_FROM] = { "from", "SECONDS", KIND_TIME, 0, 0,
	    "times after this one, in seconds since the Epoch (default: now)" },
	[OPTION_JSON] = { "json", NULL, KIND_SWITCH, 0, 0,
	    "lines of JSON, also on a terminal" },
	[OPTION_LEAVE] = { "leave", NULL, KIND_SWITCH, 0, 0,
	    "print the program's pid, and let it run on" },
	[OPTION_NAME] = { "name", "NAME", KIND_TEXT, 0, 0,
	    "the watcher's name (default: its type)" },
	[OPTION_NUMBER] = { "number", "N", KIND_INTEGER, 1, 10,
	    "how many times to show (default: 10)" },
	[OPTION_ONCE] = { "once", NULL, KIND_SWITCH, 0, 0,
	    "each watcher fires once" },
	[OPTION_PACE] = { "pace", "SECONDS", KIND_SECONDS, 0, 0,
	    "acknowledge held events (io, idle) so long after they came "
	    "(default: 0.1)" },
	[OPTION_PRIORITY] = { "priority", "N", KIND_INTEGER, -PRIORITY_MAX,
	    PRIORITY_MAX, "from -2 to 2 (default: 0)" },
	[OPTION_SESSION] = { "session", "NAME", KIND_TEXT, 0, 0,
	    "the session takes this name, for others to send to" },
	[OPTION_SOCKET] = { "socket", "PATH", KIND_TEXT, 0, 0,
	    "the daemon's socket (default: $EVD_SOCKET, or your own daemon, "
	    "started if there is none)" },
	[OPTION_TEXT] = { "text", NULL, KIND_SWITCH, 0, 0,
	    "text for people, also in a pipe" },
	[OPTION_TIMEOUT] = { "timeout", "SECONDS", KIND_SECONDS, 0, 0,
	    "give up after that long, with status 124" },
	[OPTION_TIMEZONE] = { "timezone", "ZONE", KIND_TEXT, 0, 0,
	    "the expression's time zone, as Europe/Berlin (default: the "
	    "daemon's)" },
	[OPTION_WATCHERS] = { "watchers", NULL, KIND_SWITCH, 0, 0,
	    "the watchers of all sessions" },
	[OPTION_HELP] = { "help", NULL, KIND_SWITCH, 0, 0, "print this" },
};

/* Of getopt_long(): an option that only evctl itself has. */
#define OPTION_VERSION OPTIONS

/* --- the end -------------------------------------------------------------- */

static void __attribute__((format(printf, 1, 0)))
evctl_vwarn(const char *fmt, va_list ap)
{
	struct buffer line;
	char *message;

	if (vasprintf(&message, fmt, ap) < 0)
		abort();
	buffer_init(&line, NULL);
	buffer_puts(&line, "evctl: ");
	text_put(&line, message, strlen(message));
	buffer_putc(&line, '\n');
	fflush(stdout);
	fwrite(buffer_data(&line), 1, buffer_len(&line), stderr);
	buffer_fini(&line);
	free(message);
}

void
evctl_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	evctl_vwarn(fmt, ap);
	va_end(ap);
}

void
evctl_die(int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	evctl_vwarn(fmt, ap);
	va_end(ap);
	exit(status);
}

static const char *main_subcommand; /* for the hint */

static void __attribute__((noreturn)) main_hint(void)
{
	fprintf(stderr, "Try 'evctl %s%s--help'.\n",
	    main_subcommand == NULL ? "" : main_subcommand,
	    main_subcommand == NULL ? "" : " ");
	exit(STATUS_USAGE);
}

void
evctl_usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	evctl_vwarn(fmt, ap);
	va_end(ap);
	main_hint();
}

/* --- help ----------------------------------------------------------------- */

static void
main_print_option(const struct option_info *info)
{
	printf("  --%s%s%s\n      %s\n", info->name,
	    info->arg == NULL ? "" : " ", info->arg == NULL ? "" : info->arg,
	    info->text);
}

static void
main_print_options(uint32_t options)
{
	for (int i = 0; i < OPTIONS; i++)
		if (options & OPTION_BIT(i))
			main_print_option(&option_infos[i]);
}

static void
main_help(void)
{
	puts("usage: evctl [OPTION...] COMMAND [ARGUMENT...]\n"
	     "\n"
	     "Asks evd, the event daemon, to wait for things.\n");
	for (size_t i = 0; subcommands[i] != NULL; i++)
		printf("  %s%s%s\n      %s\n", subcommands[i]->name,
		    *subcommands[i]->usage == '\0' ? "" : " ",
		    subcommands[i]->usage, subcommands[i]->help);
	puts("\n'evctl COMMAND --help' says more of one.  Options of all:\n");
	main_print_options(OPTIONS_COMMON);
	puts("  --version\n      print the version\n"
	     "\n"
	     "Exit status: 0 an event, or done; 1 error; 2 wrong usage; "
	     "3 no daemon; 4 refused\n"
	     "by the daemon; 124 time limit; 128 and a signal's number. "
	     "See evctl(1).");
}

static void
main_help_of(const struct subcommand *subcommand)
{
	printf("usage: evctl %s [OPTION...]%s%s\n\n%s.\n", subcommand->name,
	    *subcommand->usage == '\0' ? "" : " ", subcommand->usage,
	    subcommand->help);
	putchar('\n');
	if (subcommand->more != NULL) {
		subcommand->more();
		putchar('\n');
	}
	main_print_options(subcommand->options | OPTIONS_COMMON);
}

/* --- options -------------------------------------------------------------- */

double
evctl_seconds(const struct evctl *evctl, enum evctl_option option,
    double otherwise)
{
	const char *text = evctl->options[option];

	return text == NULL ? otherwise : strtod(text, NULL);
}

static void
main_check_option(const struct option_info *info, const char *text)
{
	char *end = NULL;
	double number;

	if (info->kind == KIND_SWITCH || info->kind == KIND_TEXT)
		return;
	number = strtod(text, &end);
	if (end == text || *end != '\0')
		number = NAN;
	if (info->kind == KIND_INTEGER) {
		if (number == rint(number) && number >= info->min &&
		    number <= info->max)
			return;
		evctl_usage("--%s is '%s', expected an integer from %d to %d",
		    info->name, text, info->min, info->max);
	}
	if (number <= SECONDS_MAX &&
	    number >= (info->kind == KIND_TIME ? -SECONDS_MAX : 0))
		return;
	evctl_usage("--%s is '%s', expected a number of seconds%s", info->name,
	    text, info->kind == KIND_TIME ? "" : ", 0 or more");
}

/*
 * Takes the options before the first argument or, unless subcommand is a
 * prefix, wherever they stand.  NULL: those before the subcommand.
 */
static void
main_take_options(struct evctl *evctl, const struct subcommand *subcommand,
    int argc, char **argv)
{
	bool first = subcommand == NULL || subcommand->is_prefix;
	uint32_t taken = OPTIONS_COMMON |
	    (subcommand == NULL ? 0 : subcommand->options);
	struct option longs[OPTIONS + 2] = { 0 };
	struct option *o = longs;
	int option;

	for (int i = 0; i < OPTIONS; i++)
		if (taken & OPTION_BIT(i))
			*o++ = (struct option){ option_infos[i].name,
				option_infos[i].arg != NULL, NULL, i };
	if (subcommand == NULL)
		*o++ = (struct option){ "version", 0, NULL, OPTION_VERSION };
	optind = 0;
	while ((option = getopt_long(argc, argv, first ? "+" : "", longs,
		    NULL)) != -1) {
		if (option == '?')
			main_hint();
		if (option == OPTION_VERSION) {
			puts("evctl " PACKAGE_VERSION);
			exit(0);
		}
		evctl->options[option] = optarg == NULL ? "" : optarg;
		main_check_option(&option_infos[option],
		    evctl->options[option]);
	}
	evctl->args = argv + optind;
	evctl->n_args = argc - optind;
}

static const struct subcommand *
main_find_subcommand(const char *name)
{
	for (size_t i = 0; subcommands[i] != NULL; i++)
		if (strcmp(subcommands[i]->name, name) == 0)
			return subcommands[i];
	evctl_usage("'%s' is no command of evctl", name);
}

static void
main_check_args(const struct evctl *evctl, const struct subcommand *subcommand)
{
	if (evctl->n_args < subcommand->args_min)
		evctl_usage("an argument is missing: evctl %s %s",
		    subcommand->name, subcommand->usage);
	if (subcommand->args_max >= 0 && evctl->n_args > subcommand->args_max)
		evctl_usage("'%s' is an argument too many: evctl %s %s",
		    evctl->args[subcommand->args_max], subcommand->name,
		    subcommand->usage);
}

/* --- running -------------------------------------------------------------- */

/* Nothing that is opened later may be taken for one of the three. */
static void
main_open_standard(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

/* Returns the exit status. */
static int
main_run(int argc, char **argv)
{
	struct evctl evctl = { .options = { NULL } };
	const struct subcommand *subcommand;

	main_take_options(&evctl, NULL, argc, argv);
	if (evctl.options[OPTION_HELP] != NULL) {
		main_help();
		return 0;
	}
	if (evctl.n_args == 0)
		evctl_usage("a command is missing");
	subcommand = main_find_subcommand(evctl.args[0]);
	main_subcommand = subcommand->name;
	main_take_options(&evctl, subcommand, evctl.n_args, evctl.args);
	if (evctl.options[OPTION_HELP] != NULL) {
		main_help_of(subcommand);
		return 0;
	}
	main_check_args(&evctl, subcommand);
	evctl.readable = evctl.options[OPTION_JSON] == NULL &&
	    (evctl.options[OPTION_TEXT] != NULL || isatty(STDOUT_FILENO));
	return subcommand->run(&evctl);
}

/* It ends us when nobody reads, whatever whoever started us had in mind. */
static void
main_set_sigpipe(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int
main(int argc, char **argv)
{
	int status;

	main_open_standard();
	main_set_sigpipe();
	setlocale(LC_ALL, "");
	setlocale(LC_NUMERIC, "C");
	memory_init();
	log_set_program("evctl");

	status = main_run(argc, argv);
	if (fflush(stdout) == EOF || ferror(stdout))
		evctl_die(STATUS_ERROR, "standard output: %s", strerror(errno));
	return status;
}
