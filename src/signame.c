#include "config.h"

#include "signame.h"

#include <signal.h>
#include <string.h>

/* The kernel's first 31; libc keeps some of the others for itself. */
#define STANDARD_MAX 31

static bool
signame_is(const char *text, size_t len, const char *name)
{
	return name != NULL && strlen(name) == len &&
	    memcmp(text, name, len) == 0;
}

/* Names that mean the same on Linux. */
static int
signame_alias(const char *text, size_t len)
{
	static const struct {
		const char *name;
		int signum;
	} aliases[] = {
		{ "IOT", SIGABRT },
		{ "CLD", SIGCHLD },
		{ "IO", SIGIO },
		{ "POLL", SIGIO },
	};

	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
		if (signame_is(text, len, aliases[i].name))
			return aliases[i].signum;
	return 0;
}

/* What stands behind "RTMIN" or "RTMAX": nothing, or a sign and a number. */
static int
signame_offset(const char *text, size_t len, char sign)
{
	int n = 0;

	if (len == 0)
		return 0;
	if (len < 2 || len > 3 || text[0] != sign)
		return -1;
	for (size_t i = 1; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		n = n * 10 + (text[i] - '0');
	}
	return n;
}

static int
signame_real_time(const char *text, size_t len)
{
	bool max = len >= 5 && memcmp(text, "RTMAX", 5) == 0;
	int n, signum;

	if (len < 5 || (!max && memcmp(text, "RTMIN", 5) != 0))
		return 0;
	n = signame_offset(text + 5, len - 5, max ? '-' : '+');
	if (n < 0)
		return 0;
	signum = max ? SIGRTMAX - n : SIGRTMIN + n;
	return signum >= SIGRTMIN && signum <= SIGRTMAX ? signum : 0;
}

int
signame_parse(const char *text, size_t len)
{
	int signum;

	if (len > 3 && memcmp(text, "SIG", 3) == 0) {
		text += 3;
		len -= 3;
	}
	for (signum = 1; signum <= STANDARD_MAX; signum++)
		if (signame_is(text, len, sigabbrev_np(signum)))
			return signum;
	signum = signame_alias(text, len);
	return signum > 0 ? signum : signame_real_time(text, len);
}

bool
signame_is_signal(int64_t signum)
{
	return (signum >= 1 && signum <= STANDARD_MAX) ||
	    (signum >= SIGRTMIN && signum <= SIGRTMAX);
}
