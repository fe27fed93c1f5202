#ifndef EVCTL_EVCTL_H
#define EVCTL_EVCTL_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What all of evctl shares: its options and arguments, its subcommands, and how
 * it ends.  A subcommand is a file cmd-NAME.c and an entry of the table in
 * main.c.
 */
enum evctl_status {
	STATUS_EVENT = 0,
	STATUS_ERROR = 1,
	STATUS_USAGE = 2,
	STATUS_NO_DAEMON = 3,
	STATUS_REFUSED = 4,
	STATUS_TIME_LIMIT = 124,
	STATUS_NOT_EXECUTABLE = 126,
	STATUS_NOT_FOUND = 127,
	STATUS_SIGNAL = 128, /* and the signal's number */
};

/* An option has one meaning, whichever subcommand takes it. */
enum evctl_option {
	OPTION_DATA,
	OPTION_FROM,
	OPTION_JSON,
	OPTION_LEAVE,
	OPTION_NAME,
	OPTION_NUMBER,
	OPTION_ONCE,
	OPTION_PACE,
	OPTION_PRIORITY,
	OPTION_SESSION,
	OPTION_SOCKET,
	OPTION_TEXT,
	OPTION_TIMEOUT,
	OPTION_TIMEZONE,
	OPTION_WATCHERS,
	OPTION_HELP,
	OPTIONS
};

#define OPTION_BIT(option) (UINT32_C(1) << (option))
/* Of every subcommand. */
#define OPTIONS_COMMON                                       \
	(OPTION_BIT(OPTION_JSON) | OPTION_BIT(OPTION_TEXT) | \
	    OPTION_BIT(OPTION_SOCKET) | OPTION_BIT(OPTION_HELP))

struct evctl {
	const char *options[OPTIONS]; /* NULL: not given; "": a switch */
	char **args;		      /* borrowed; ends with NULL */
	int n_args;
	bool readable; /* for people; else JSON lines */
};

struct subcommand {
	const char *name;
	const char *usage;  /* the arguments */
	const char *help;   /* one line */
	void (*more)(void); /* prints what else --help says; may be NULL */
	uint32_t options;   /* bits, without the common ones */
	int args_min;
	int args_max; /* -1: any number */
	/* What follows the first argument is not ours to read. */
	bool is_prefix;
	/* Returns the exit status. */
	int (*run)(struct evctl *);
};

/* The value of an option that is a number, or what it is by default. */
double evctl_seconds(const struct evctl *, enum evctl_option, double);

/* Both write one line to standard error, made fit for a terminal. */
void evctl_warn(const char *, ...) __attribute__((format(printf, 1, 2)));
void evctl_die(int status, const char *, ...)
    __attribute__((format(printf, 2, 3), noreturn));
/* Wrong usage: the same with a hint. */
void evctl_usage(const char *, ...)
    __attribute__((format(printf, 1, 2), noreturn));

#endif
