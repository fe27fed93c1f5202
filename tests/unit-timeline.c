#include "config.h"

#include "timeline.h"

#include <string.h>

#include "fakeclock.h"
#include "log.h"
#include "unit.h"

#define MONOTONIC 1000.0
#define NOW	  3800000000.0

static struct ev_loop *loop;
static struct wallclock wall;
static struct timelines timelines;

#define MANY 5000

/* A session with many deadlines. */
struct line {
	struct timeline timeline; /* first */
	struct deadline deadlines[MANY];
	int expired;
	int in_turn; /* of these, since another line had some */
	int last;    /* number of the one that has, last */
};

static struct line a, b;
static int turn_max;

static void
on_time(struct timeline *timeline, struct deadline *deadline)
{
	struct line *line = (struct line *)timeline;
	struct line *other = line == &a ? &b : &a;

	ck_assert(!deadline_is_set(deadline));
	line->last = (int)(deadline - line->deadlines);
	line->expired++;
	line->in_turn++;
	other->in_turn = 0;
	if (line->in_turn > turn_max)
		turn_max = line->in_turn;
}

static void
start(struct line *line)
{
	memset(line, 0, sizeof(*line));
	timeline_init(&line->timeline, &timelines);
	line->timeline.on_time = on_time;
}

static void
set(struct line *line, int i, double time)
{
	timeline_set(&line->timeline, &line->deadlines[i], time);
}

static void
set_all(struct line *line, double time)
{
	for (int i = 0; i < MANY; i++)
		set(line, i, time);
}

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
	fakeclock_start(MONOTONIC, NOW);
	loop = ev_loop_new(EVFLAG_NOENV);
	wallclock_init(&wall, loop);
	timelines_init(&timelines, &wall);
	start(&a);
	start(&b);
	turn_max = 0;
}

static void
teardown(void)
{
	timeline_end(&a.timeline);
	timeline_end(&b.timeline);
	ck_assert_uint_eq(timelines.turns.n, 0);
	timelines_fini(&timelines);
	wallclock_fini(&wall);
	ev_verify(loop);
	ev_loop_destroy(loop);
	fakeclock.on = false;
}

START_TEST(deadline_comes_at_its_time)
{
	set(&a, 0, MONOTONIC + 2);
	run(1.999999);
	ck_assert_int_eq(a.expired, 0);
	run(0.000001);
	ck_assert_int_eq(a.expired, 1);
	run(10);
	ck_assert_int_eq(a.expired, 1);
}
END_TEST

START_TEST(one_in_the_past_comes_at_once)
{
	set(&a, 0, -1e10);
	ck_assert_int_eq(a.expired, 0);
	run(0);
	ck_assert_int_eq(a.expired, 1);
}
END_TEST

START_TEST(earlier_one_comes_first)
{
	set(&a, 5, MONOTONIC + 5);
	set(&a, 3, MONOTONIC + 3);
	set(&a, 4, MONOTONIC + 4);
	for (int i = 3; i <= 5; i++) {
		run(i == 3 ? 3 : 1);
		ck_assert_int_eq(a.last, i);
	}
}
END_TEST

START_TEST(one_that_is_unset_does_not_come)
{
	set(&a, 0, MONOTONIC + 1);
	set(&a, 1, MONOTONIC + 2);
	timeline_unset(&a.timeline, &a.deadlines[0]);
	run(1);
	ck_assert_int_eq(a.expired, 0);
	set(&a, 1, MONOTONIC + 4);
	run(2);
	ck_assert_int_eq(a.expired, 0);
	run(1);
	ck_assert_int_eq(a.expired, 1);
}
END_TEST

/* And libev does not sleep while some are left. */
START_TEST(an_iteration_expires_a_thousand)
{
	set_all(&a, MONOTONIC + 1);
	run(1);
	for (int n = 1000; n <= MANY; n += 1000) {
		ck_assert_int_eq(a.expired, n);
		ck_assert_int_eq(a.last, n - 1);
		ck_assert_int_eq(ev_is_active(&timelines.busy), n < MANY);
		run(0);
	}
	ck_assert_int_eq(a.expired, MANY);
}
END_TEST

START_TEST(sessions_take_turns)
{
	set_all(&a, MONOTONIC + 1);
	set_all(&b, MONOTONIC + 1);
	run(1);
	ck_assert_int_eq(a.expired, 500);
	ck_assert_int_eq(b.expired, 500);
	ck_assert_int_le(turn_max, TIMELINE_TURN);
	for (int i = 0; i < 20; i++)
		run(0.001);
	ck_assert_int_eq(a.expired, MANY);
	ck_assert_int_eq(b.expired, MANY);
}
END_TEST

/* However long the other ones have been due. */
START_TEST(one_deadline_does_not_wait_for_many_of_another_session)
{
	set_all(&a, MONOTONIC + 1);
	set(&b, 0, MONOTONIC + 1.0005);
	run(1);
	ck_assert_int_eq(a.expired, 1000);
	run(0.001);
	ck_assert_int_eq(b.expired, 1);
	ck_assert_int_le(a.expired, 2000);
	/* Also where some are always set to before all others. */
	for (int i = 1; i < 3; i++) {
		set(&a, 0, 0);
		set(&b, 0, MONOTONIC + 1.0009);
		run(0);
		ck_assert_int_eq(b.expired, 1 + i);
	}
	ck_assert_int_lt(a.expired, MANY);
}
END_TEST

START_TEST(ended_one_is_silent)
{
	set_all(&a, MONOTONIC + 1);
	timeline_end(&a.timeline);
	timeline_unset(&a.timeline, &a.deadlines[7]);
	set(&a, 8, MONOTONIC + 1);
	run(2);
	ck_assert_int_eq(a.expired, 0);
}
END_TEST

/* --- suspended ------------------------------------------------------------ */

static void
suspend(void)
{
	wallclock_update(&wall);
	timeline_suspend(&a.timeline);
}

static void
resume(void)
{
	wallclock_update(&wall);
	timeline_resume(&a.timeline);
}

START_TEST(suspended_clocks_stand_still)
{
	fakeclock_advance(3);
	suspend();
	run(5);
	ck_assert(timeline_time(&a.timeline) == MONOTONIC + 3);
	ck_assert(timeline_monotonic(&a.timeline) == MONOTONIC + 3);
	ck_assert(timeline_now(&a.timeline) == NOW + 3);
	ck_assert(timeline_now(&b.timeline) == NOW + 8);
	resume();
	ck_assert(timeline_time(&a.timeline) == MONOTONIC + 3);
	ck_assert(timeline_monotonic(&a.timeline) == MONOTONIC + 8);
	ck_assert(timeline_now(&a.timeline) == NOW + 8);
	run(1);
	ck_assert(timeline_time(&a.timeline) == MONOTONIC + 4);
	ck_assert(timeline_monotonic(&a.timeline) == MONOTONIC + 9);
}
END_TEST

START_TEST(what_is_left_is_left_after_the_pause)
{
	set(&a, 0, MONOTONIC + 10);
	set(&b, 0, MONOTONIC + 10);
	fakeclock_advance(4);
	suspend();
	run(100);
	ck_assert_int_eq(a.expired, 0);
	ck_assert_int_eq(b.expired, 1);
	set(&a, 1, timeline_time(&a.timeline) + 1);
	run(100);
	ck_assert_int_eq(a.expired, 0);
	resume();
	run(1);
	ck_assert_int_eq(a.expired, 1);
	ck_assert_int_eq(a.last, 1);
	run(4.999999);
	ck_assert_int_eq(a.expired, 1);
	run(0.000001);
	ck_assert_int_eq(a.expired, 2);
}
END_TEST

START_TEST(pauses_add_up)
{
	set(&a, 0, MONOTONIC + 1);
	for (int i = 0; i < 10; i++) {
		fakeclock_advance(0.0625);
		suspend();
		run(7);
		resume();
		run(0);
	}
	run(0.374999);
	ck_assert_int_eq(a.expired, 0);
	run(0.000001);
	ck_assert_int_eq(a.expired, 1);
}
END_TEST

START_TEST(what_was_due_before_the_pause_comes_after_it)
{
	set_all(&a, MONOTONIC + 1);
	run(1);
	ck_assert_int_eq(a.expired, 1000);
	ck_assert(!timeline_has_expired(&a.timeline, MONOTONIC + 1));
	suspend();
	ck_assert(timeline_has_expired(&a.timeline, MONOTONIC + 1));
	run(1);
	ck_assert_int_eq(a.expired, 1000);
	ck_assert(!ev_is_active(&timelines.busy));
	resume();
	run(0);
	ck_assert_int_eq(a.expired, 2000);
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("timeline", setup, teardown);

	tcase_add_test(cases, deadline_comes_at_its_time);
	tcase_add_test(cases, one_in_the_past_comes_at_once);
	tcase_add_test(cases, earlier_one_comes_first);
	tcase_add_test(cases, one_that_is_unset_does_not_come);
	tcase_add_test(cases, an_iteration_expires_a_thousand);
	tcase_add_test(cases, sessions_take_turns);
	tcase_add_test(cases,
	    one_deadline_does_not_wait_for_many_of_another_session);
	tcase_add_test(cases, ended_one_is_silent);
	tcase_add_test(cases, suspended_clocks_stand_still);
	tcase_add_test(cases, what_is_left_is_left_after_the_pause);
	tcase_add_test(cases, pauses_add_up);
	tcase_add_test(cases, what_was_due_before_the_pause_comes_after_it);
	return unit_run(cases);
}
