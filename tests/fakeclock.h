#ifndef EVD_TESTS_FAKECLOCK_H
#define EVD_TESTS_FAKECLOCK_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/*
 * Clocks that go only when they are told to.  The functions here take the
 * place of the C library's in the whole program, libev included, and tell our
 * time from fakeclock_start() on.  (So they do for Check, which can measure up
 * to 4,294 s; and a wall clock that is not behind the machine's own keeps
 * libev's timerfd, which has only that one, quiet.)
 */
static struct {
	bool on;
	int64_t monotonic; /* nanoseconds */
	int64_t real;
} fakeclock;

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	int64_t ns;

	if (!fakeclock.on || (id != CLOCK_MONOTONIC && id != CLOCK_REALTIME))
		return (int)syscall(SYS_clock_gettime, id, ts);
	ns = id == CLOCK_MONOTONIC ? fakeclock.monotonic : fakeclock.real;
	ts->tv_sec = ns / 1000000000;
	ts->tv_nsec = ns % 1000000000;
	return 0;
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

static inline void
fakeclock_start(double monotonic, double real)
{
	fakeclock.on = true;
	fakeclock.monotonic = llround(monotonic * 1e9);
	fakeclock.real = llround(real * 1e9);
}

/* Time passes. */
static inline void
fakeclock_advance(double seconds)
{
	fakeclock.monotonic += llround(seconds * 1e9);
	fakeclock.real += llround(seconds * 1e9);
}

/* Somebody sets the wall clock. */
static inline void
fakeclock_jump(double seconds)
{
	fakeclock.real += llround(seconds * 1e9);
}

#endif
