#ifndef EVD_TESTS_FAKECLOCK_H
#define EVD_TESTS_FAKECLOCK_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "clockcalls.h"

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
	if (!fakeclock.on || (id != CLOCK_MONOTONIC && id != CLOCK_REALTIME))
		return clockcalls_machine(id, ts);
	clockcalls_set(ts,
	    id == CLOCK_MONOTONIC ? fakeclock.monotonic : fakeclock.real);
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
