#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "ensure.h"
#include "feature.h"
#include "log.h"
#include "memory.h"
#include "param.h"
#include "paths.h"
#include "server.h"
#include "service.h"

#define EXIT_USAGE	    2
#define ENSURED_EXIT_IDLE_S 60

enum {
	OPTION_SOCKET = 1000,
	OPTION_SOCKET_MODE,
	OPTION_LOG_LEVEL,
	OPTION_EXIT_IDLE,
	OPTION_DISABLE_FEATURE,
	OPTION_NO_PATHS,
	OPTION_NO_SPAWN,
	OPTION_ENSURE,
	OPTION_VERSION,
	OPTION_HELP,
	OPTION_UID_LIMIT = 2000, /* and on, by limit */
	OPTION_SESSION_LIMIT = 3000,
};

struct main_options {
	struct server_options server;
	bool ensure;
	bool exit_idle_given;
};

static const struct {
	const char *name;
	const char *arg; /* NULL: none */
	int option;
	const char *text;
} main_table[] = {
	{ "socket", "PATH", OPTION_SOCKET,
	    "where to listen, unless systemd passes a socket (default: your "
	    "own socket, $XDG_RUNTIME_DIR/evd/socket or "
	    "/tmp/evd-UID/socket)" },
	{ "socket-mode", "OCTAL", OPTION_SOCKET_MODE,
	    "permissions of the socket (default: 0600)" },
	{ "log-level", "LEVEL", OPTION_LOG_LEVEL,
	    "error, warning, notice, info or debug (default: notice)" },
	{ "exit-idle", "SECONDS", OPTION_EXIT_IDLE,
	    "end when there was no client for that long (default: never)" },
	{ "no-paths", NULL, OPTION_NO_PATHS,
	    "refuse to open and to watch paths, for everybody" },
	{ "no-spawn", NULL, OPTION_NO_SPAWN,
	    "refuse to start programs, for everybody" },
	{ "disable-feature", "NAME", OPTION_DISABLE_FEATURE,
	    "do without something that the kernel has, as if it were older "
	    "(for tests; may be given again)" },
	{ "ensure", NULL, OPTION_ENSURE,
	    "return when a daemon answers at the socket; start one in the "
	    "background if there is none (it logs to syslog, and ends after "
	    "60 s without a client)" },
	{ "version", NULL, OPTION_VERSION, "print the version" },
	{ "help", NULL, OPTION_HELP, "print this" },
};
#define MAIN_TABLE (sizeof(main_table) / sizeof(main_table[0]))

/* --- help ---------------------------------------------------------------- */

static void
main_print_limits(void)
{
	puts("\nLimits, each a number above 0:");
	for (int i = 0; i < LIMITS; i++) {
		const struct limit_info *info = &limit_infos[i];

		printf("  --%s N\n      %s of all sessions of a uid "
		       "(default: %ju)\n",
		    info->uid_option,
		    i == LIMIT_SESSIONS ? "number" : info->name,
		    (uintmax_t)info->value);
		if (info->session_option != NULL)
			printf("  --%s N\n      %s of one session "
			       "(default: as its uid)\n",
			    info->session_option, info->name);
	}
}

static void
main_print_help(void)
{
	puts(
	    "usage: evd [OPTION...]\n"
	    "\n"
	    "The event daemon: one event loop for every program on the "
	    "machine, over a Unix\n"
	    "socket.  It runs in the foreground and logs to standard error.\n");
	for (size_t i = 0; i < MAIN_TABLE; i++)
		printf("  --%s%s%s\n      %s\n", main_table[i].name,
		    main_table[i].arg == NULL ? "" : " ",
		    main_table[i].arg == NULL ? "" : main_table[i].arg,
		    main_table[i].text);
	main_print_limits();
	puts("\nExit status: 0 after a signal or an idle end, 1 on failure, "
	     "2 on wrong usage.");
}

static void __attribute__((noreturn, format(printf, 1, 2)))
main_usage(const char *fmt, ...)
{
	va_list ap;

	fputs("evd: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs("\nTry 'evd --help'.\n", stderr);
	exit(EXIT_USAGE);
}

/* --- options -------------------------------------------------------------- */

static uint64_t
main_parse_limit(const char *name, const char *text)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' ||
	    n == 0 || n > INTEGER_MAX)
		main_usage("--%s is '%s', expected an integer from 1 to %lld",
		    name, text, (long long)INTEGER_MAX);
	return n;
}

static mode_t
main_parse_mode(const char *text)
{
	char *end;
	unsigned long mode = strtoul(text, &end, 8);

	if (*text < '0' || *text > '7' || *end != '\0' || mode > 0777)
		main_usage("--socket-mode is '%s', expected an octal number "
			   "from 0 to 0777",
		    text);
	return (mode_t)mode;
}

static double
main_parse_seconds(const char *name, const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end != '\0' || !(seconds >= 0) ||
	    seconds > SECONDS_MAX)
		main_usage("--%s is '%s', expected a number of seconds from 0 "
			   "to %g",
		    name, text, SECONDS_MAX);
	return seconds;
}

static void
main_parse_log_level(const char *text)
{
	for (int i = 0; log_level_names[i] != NULL; i++) {
		if (strcmp(text, log_level_names[i]) != 0)
			continue;
		log_set_level(i);
		return;
	}
	main_usage("--log-level is '%s', expected error, warning, notice, info "
		   "or debug",
	    text);
}

static void
main_disable_feature(const char *name)
{
	char known[256] = "";
	size_t at = 0;

	if (feature_disable(name))
		return;
	for (int i = 0; i < FEATURES && at < sizeof(known); i++)
		at += snprintf(known + at, sizeof(known) - at, "%s%s",
		    i == 0 ? "" : ", ", feature_names[i]);
	main_usage("--disable-feature is '%s', expected one of: %s", name,
	    known);
}

static void
main_take_option(struct main_options *options, int option)
{
	struct server_options *server = &options->server;

	switch (option) {
	case OPTION_SOCKET:
		if (*optarg == '\0')
			main_usage("--socket is '', expected a path");
		server->path = optarg;
		return;
	case OPTION_SOCKET_MODE:
		server->mode = main_parse_mode(optarg);
		return;
	case OPTION_LOG_LEVEL:
		main_parse_log_level(optarg);
		return;
	case OPTION_EXIT_IDLE:
		server->exit_idle = main_parse_seconds("exit-idle", optarg);
		options->exit_idle_given = true;
		return;
	case OPTION_NO_PATHS:
		server->no_paths = true;
		return;
	case OPTION_NO_SPAWN:
		server->no_spawn = true;
		return;
	case OPTION_DISABLE_FEATURE:
		main_disable_feature(optarg);
		return;
	case OPTION_ENSURE:
		options->ensure = true;
		return;
	case OPTION_VERSION:
		puts(PACKAGE_STRING);
		exit(0);
	case OPTION_HELP:
		main_print_help();
		exit(0);
	case '?':
		/* getopt has said what is wrong. */
		fputs("Try 'evd --help'.\n", stderr);
		exit(EXIT_USAGE);
	}
	if (option >= OPTION_SESSION_LIMIT) {
		option -= OPTION_SESSION_LIMIT;
		server->session_limits[option] = main_parse_limit(
		    limit_infos[option].session_option, optarg);
	} else {
		option -= OPTION_UID_LIMIT;
		server->uid_limits[option] = main_parse_limit(
		    limit_infos[option].uid_option, optarg);
	}
}

static void
main_parse_options(struct main_options *options, int argc, char **argv)
{
	struct option longs[MAIN_TABLE + 2 * LIMITS + 1] = { 0 };
	struct option *o = longs;
	int option;

	for (size_t i = 0; i < MAIN_TABLE; i++)
		*o++ = (struct option){ main_table[i].name,
			main_table[i].arg != NULL, NULL, main_table[i].option };
	for (int i = 0; i < LIMITS; i++) {
		*o++ = (struct option){ limit_infos[i].uid_option, 1, NULL,
			OPTION_UID_LIMIT + i };
		if (limit_infos[i].session_option != NULL)
			*o++ = (struct option){ limit_infos[i].session_option,
				1, NULL, OPTION_SESSION_LIMIT + i };
	}
	while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1)
		main_take_option(options, option);
	if (optind < argc)
		main_usage("'%s' is no option, and evd takes nothing else",
		    argv[optind]);
}

/* --- running -------------------------------------------------------------- */

/* Nothing that is opened later may be taken for one of the three. */
static void
main_open_standard(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
			exit(1);
}

/*
 * A daemon is not ended by a signal that means nothing to it, and is by one
 * that its parent had blocked: libev leaves those as they are.
 */
static void
main_set_signals(void)
{
	static const int standard[] = { SIGHUP, SIGPIPE, SIGALRM, SIGUSR1,
		SIGUSR2, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSTKFLT, SIGXCPU,
		SIGXFSZ };
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (size_t i = 0; i < sizeof(standard) / sizeof(standard[0]); i++)
		signal(standard[i], SIG_IGN);
	for (int i = SIGRTMIN; i <= SIGRTMAX; i++)
		signal(i, SIG_IGN);
}

static void
main_serve(void *arg, void (*ready)(void))
{
	const struct server_options *options = arg;
	struct server *server;

	main_set_signals();
	server = server_new(options);
	if (server == NULL)
		exit(1);
	if (ready != NULL)
		ready();
	server_run(server);
	server_free(server);
	exit(0);
}

static bool
main_socket_fits(const char *path)
{
	size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

	if (strlen(path) <= max)
		return true;
	log_error("%s: a socket's path of %zu bytes, expected at most %zu",
	    path, strlen(path), max);
	return false;
}

static int
main_ensure(struct main_options *options)
{
	if (!options->exit_idle_given)
		options->server.exit_idle = ENSURED_EXIT_IDLE_S;
	return ensure_daemon(options->server.path, main_serve,
		   &options->server) < 0;
}

int
main(int argc, char **argv)
{
	struct main_options options = {
		.server = { .fd = -1, .mode = 0600, .exit_idle = -1 },
	};
	int status = 1;
	char *own;

	main_open_standard();
	memory_init();
	main_parse_options(&options, argc, argv);
	if (options.ensure)
		service_leave();
	else if (service_take_socket(&options.server.fd) < 0)
		return 1;
	if (options.server.fd >= 0)
		main_serve(&options.server, NULL);
	own = options.server.path == NULL ? paths_own_socket() :
					    paths_absolute(options.server.path);
	if (own != NULL && main_socket_fits(own)) {
		options.server.path = own;
		if (!options.ensure)
			main_serve(&options.server, NULL);
		status = main_ensure(&options);
	}
	free(own);
	return status;
}
