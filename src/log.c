#include "config.h"

#include "log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

/* A pipe that polls as writable takes this many bytes without blocking. */
#define LOG_LINE_MAX 4096

const char *const log_level_names[] = { "error", "warning", "notice", "info",
	"debug", NULL };

static const int log_priorities[] = { LOG_ERR, LOG_WARNING, LOG_NOTICE,
	LOG_INFO, LOG_DEBUG };

static enum log_level log_level = LEVEL_NOTICE;
static const char *log_program = "evd";
static int log_syslog = -1; /* socket to send from; -1: standard error */
static unsigned long log_dropped;
static int log_drop_reason; /* an errno; EAGAIN: its reader has stopped */
static bool log_is_cut;	    /* a line was written in part */

void
log_set_program(const char *name)
{
	log_program = name;
}

void
log_set_level(enum log_level level)
{
	log_level = level;
}

bool
log_wants(enum log_level level)
{
	return level <= log_level;
}

void
log_to_syslog(void)
{
	log_syslog = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

/*
 * libc's own syslog() waits for room.  A syslog daemon may be started again,
 * or later than we are, hence the address with each line.  Returns 0 or an
 * errno.
 */
static int
log_put_syslog(enum log_level level, const char *text)
{
	static const struct sockaddr_un address = { .sun_family = AF_UNIX,
		.sun_path = "/dev/log" };
	char line[LOG_LINE_MAX], when[32] = "";
	time_t now = time(NULL);
	struct tm tm;
	int n;

	if (localtime_r(&now, &tm) != NULL)
		strftime(when, sizeof(when), "%b %e %T ", &tm);
	n = snprintf(line, sizeof(line), "<%d>%s%s[%d]: %s",
	    LOG_DAEMON | log_priorities[level], when, log_program,
	    (int)getpid(), text);
	return sendto(log_syslog, line, n, MSG_DONTWAIT | MSG_NOSIGNAL,
		   (const struct sockaddr *)&address, sizeof(address)) < 0 ?
	    errno :
	    0;
}

/* Whether standard error is the journal's: systemd says which file that is. */
static bool
log_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream != NULL && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
	    fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev &&
	    st.st_ino == ino;
}

/* Returns 0 or an errno. */
static int
log_put(const char *line, size_t len)
{
	struct pollfd pfd = { .fd = STDERR_FILENO, .events = POLLOUT };
	ssize_t n;

	do
		n = poll(&pfd, 1, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno;
	if (n == 0 || !(pfd.revents & POLLOUT))
		return EAGAIN;
	do
		n = write(STDERR_FILENO, line, len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno;
	log_is_cut = (size_t)n < len;
	return log_is_cut ? ENOSPC : 0;
}

/* Behind a part of a line a new one begins.  Returns 0 or an errno. */
static int
log_put_stderr(enum log_level level, const char *text)
{
	char line[LOG_LINE_MAX];
	const char *start = level == LEVEL_NOTICE || level == LEVEL_INFO ?
	    "" :
	    log_level_names[level];
	const char *cut = log_is_cut ? "\n" : "";
	int n;

	if (log_is_journal())
		n = snprintf(line, sizeof(line) - 1, "%s<%d>%s", cut,
		    log_priorities[level], text);
	else
		n = snprintf(line, sizeof(line) - 1, "%s%s: %s%s%s", cut,
		    log_program, start, *start != '\0' ? ": " : "", text);
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n] = '\n';
	return log_put(line, n + 1);
}

/* Returns whether it was written. */
static bool
log_put_line(enum log_level level, const char *text)
{
	int err = log_syslog >= 0 ? log_put_syslog(level, text) :
				    log_put_stderr(level, text);

	if (err == 0)
		return true;
	log_dropped++;
	log_drop_reason = err;
	return false;
}

static void __attribute__((format(printf, 2, 0)))
log_vwrite(enum log_level level, const char *fmt, va_list ap)
{
	char text[LOG_LINE_MAX - 64];
	unsigned long dropped = log_dropped;
	int saved = errno;

	vsnprintf(text, sizeof(text), fmt, ap);
	if (log_put_line(level, text) && dropped > 0) {
		snprintf(text, sizeof(text), "%lu log lines were dropped: %s",
		    dropped,
		    log_drop_reason == EAGAIN ? "their reader had stopped" :
						strerror(log_drop_reason));
		if (log_put_line(LEVEL_WARNING, text))
			log_dropped = 0;
		else
			log_dropped = dropped;
	}
	errno = saved;
}

void
log_write(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (!log_wants(level))
		return;
	va_start(ap, fmt);
	log_vwrite(level, fmt, ap);
	va_end(ap);
}

void
fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vwrite(LEVEL_ERROR, fmt, ap);
	va_end(ap);
	exit(1);
}

const char *
log_escape(char *out, size_t size, const char *bytes, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	size_t at = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = bytes[i];
		bool plain = c >= 0x20 && c < 0x7f && c != '\\';

		if (at + 4 + sizeof("...") > size) {
			memcpy(out + at, "...", 3);
			at += 3;
			break;
		}
		if (plain) {
			out[at++] = c;
			continue;
		}
		out[at++] = '\\';
		out[at++] = 'x';
		out[at++] = hex[c >> 4];
		out[at++] = hex[c & 15];
	}
	out[at] = '\0';
	return out;
}
