#ifndef EVD_TESTS_CLOCKCALLS_H
#define EVD_TESTS_CLOCKCALLS_H

#include <stdint.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/*
 * What a clock of the tests' own has in common, be it linked (fakeclock.h) or
 * preloaded (clockshim.c): its clock_gettime(), which the includer defines, is
 * what the C library's other functions tell.
 */
#define CLOCKCALLS_SECOND_NS INT64_C(1000000000)

/* The machine's own clock. */
static inline int
clockcalls_machine(clockid_t id, struct timespec *ts)
{
	return (int)syscall(SYS_clock_gettime, id, ts);
}

/* ns: nanoseconds since the clock's zero, not negative. */
static inline void
clockcalls_set(struct timespec *ts, int64_t ns)
{
	ts->tv_sec = ns / CLOCKCALLS_SECOND_NS;
	ts->tv_nsec = ns % CLOCKCALLS_SECOND_NS;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	struct timespec ts;

	(void)tz;
	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *at)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (at != NULL)
		*at = ts.tv_sec;
	return ts.tv_sec;
}

#endif
