#ifndef EVD_LOG_H
#define EVD_LOG_H

#include <stdbool.h>
#include <stddef.h>

/*
 * One line a message, to standard error or to syslog.  Where the journal
 * reads standard error, each line starts with the priority in the form that
 * it understands ("<5>"); elsewhere with the level's name.
 *
 * The log never blocks the daemon: a line that there is no room for, in a pipe,
 * in a socket or on a disk, is dropped, and the number of lines dropped is said
 * once there is room again.
 */
enum log_level {
	LEVEL_ERROR,
	LEVEL_WARNING,
	LEVEL_NOTICE,
	LEVEL_INFO,
	LEVEL_DEBUG,
};

/* What goes in, as a table for options and help; ends with NULL. */
extern const char *const log_level_names[];

/* Whose messages these are (default: evd's); kept. */
void log_set_program(const char *);

/* Sets the least important level that is written (default: notice). */
void log_set_level(enum log_level);
bool log_wants(enum log_level);

/* From now on to syslog, facility daemon, in place of standard error. */
void log_to_syslog(void);

void log_write(enum log_level, const char *, ...)
    __attribute__((format(printf, 2, 3)));

#define log_error(...)	 log_write(LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...)	 log_write(LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)	 log_write(LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                       \
	do {                                                 \
		if (log_wants(LEVEL_DEBUG))                  \
			log_write(LEVEL_DEBUG, __VA_ARGS__); \
	} while (0)

/* Logs at error and exits with status 1. */
void fatal(const char *, ...) __attribute__((format(printf, 1, 2), noreturn));

/*
 * Bytes that a client chose, made fit for a terminal and a log line: control
 * bytes, quotes' backslashes and bytes that are not ASCII become \xNN.  What
 * does not fit in size (which includes the NUL) is cut, ending in "...".
 * Returns out.
 */
const char *log_escape(char *out, size_t size, const char *bytes, size_t len);

#endif
