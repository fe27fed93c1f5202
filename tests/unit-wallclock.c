#include "config.h"

#include "wallclock.h"

#include <math.h>

#include "fakeclock.h"
#include "log.h"
#include "unit.h"

#define MONOTONIC 1000.0
#define NOW	  3800000000.0

static struct ev_loop *loop;
static struct wallclock wall;

/* Jumps that were seen, and what the clock showed before the last. */
static int jumps;
static double shown;

static void
on_jump(struct wallclock *clock, double before)
{
	ck_assert_ptr_eq(clock, &wall);
	jumps++;
	shown = before;
}

/* One iteration, so many seconds later. */
static void
run(double seconds)
{
	fakeclock_advance(seconds);
	ev_run(loop, EVRUN_NOWAIT);
}

static void
setup(void)
{
	log_set_level(LEVEL_ERROR);
	jumps = 0;
	fakeclock_start(MONOTONIC, NOW);
	loop = ev_loop_new(EVFLAG_NOENV);
	wallclock_init(&wall, loop);
	wall.on_jump = on_jump;
}

static void
teardown(void)
{
	wallclock_fini(&wall);
	ev_verify(loop);
	ev_loop_destroy(loop);
	fakeclock.on = false;
}

/* --- the clocks ---------------------------------------------------------- */

START_TEST(clocks_stand_between_readings)
{
	fakeclock_advance(5);
	ck_assert(wallclock_monotonic(&wall) == MONOTONIC);
	ck_assert(wallclock_now(&wall) == NOW);
	wallclock_update(&wall);
	ck_assert(wallclock_monotonic(&wall) == MONOTONIC + 5);
	ck_assert(wallclock_now(&wall) == NOW + 5);
}
END_TEST

START_TEST(each_iteration_reads_them)
{
	fakeclock_advance(0.5);
	ev_run(loop, EVRUN_NOWAIT);
	ck_assert(wallclock_monotonic(&wall) == MONOTONIC + 0.5);
	ck_assert(wallclock_now(&wall) == NOW + 0.5);
}
END_TEST

/* From here on with the clocks of the machine, or with ours again. */
static void
set_real(bool real)
{
	wallclock_fini(&wall);
	ev_loop_destroy(loop);
	fakeclock.on = !real;
	loop = ev_loop_new(EVFLAG_NOENV);
	wallclock_init(&wall, loop);
}

START_TEST(real_clocks_agree_with_ours)
{
	struct timespec ts;

	set_real(true);
	clock_gettime(CLOCK_REALTIME, &ts);
	ck_assert_double_lt(fabs((double)ts.tv_sec + (double)ts.tv_nsec * 1e-9 -
				wallclock_now(&wall)),
	    1);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ck_assert_double_lt(fabs((double)ts.tv_sec + (double)ts.tv_nsec * 1e-9 -
				wallclock_monotonic(&wall)),
	    1);
	set_real(false);
}
END_TEST

/* --- jumps --------------------------------------------------------------- */

START_TEST(jump_is_told)
{
	fakeclock_advance(1);
	wallclock_update(&wall);
	fakeclock_jump(3600);
	wall.suspect = true;
	ev_run(loop, EVRUN_NOWAIT);
	ck_assert_int_eq(jumps, 1);
	ck_assert(shown == NOW + 1);
	ck_assert(wallclock_now(&wall) == NOW + 3601);
	ck_assert(wallclock_monotonic(&wall) == MONOTONIC + 1);
}
END_TEST

/* It does so when it reads the clocks, half a second later at most. */
START_TEST(libev_sees_a_jump)
{
	run(1);
	fakeclock_jump(-100);
	run(1);
	run(1);
	ck_assert_int_eq(jumps, 1);
	ck_assert_double_lt(fabs(wallclock_now(&wall) - (NOW - 97)), 1e-3);
}
END_TEST

START_TEST(false_suspicion_is_no_jump)
{
	wall.suspect = true;
	run(1);
	ck_assert(!wall.suspect);
	ck_assert_int_eq(jumps, 0);
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("wallclock", setup, teardown);

	tcase_add_test(cases, clocks_stand_between_readings);
	tcase_add_test(cases, each_iteration_reads_them);
	tcase_add_test(cases, real_clocks_agree_with_ours);
	tcase_add_test(cases, jump_is_told);
	tcase_add_test(cases, libev_sees_a_jump);
	tcase_add_test(cases, false_suspicion_is_no_jump);
	return unit_run(cases);
}
