#include "config.h"

#include "alarm.h"

#include <math.h>
#include <string.h>

#include "fakeclock.h"
#include "log.h"
#include "unit.h"

#define MONOTONIC 1000.0
#define NOW	  3800000000.0

static struct ev_loop *loop;
static struct wallclock wall;
static struct timelines timelines;
static struct timeline timeline;
static struct alarms alarms;
static struct alarm_group group;

/* An alarm that tells what happened to it. */
struct ring {
	struct alarm alarm; /* first */
	char name;
	double rang; /* when; 0: not yet */
	double before;
	int jumps;
};

/* The names of those that rang, in order. */
static char rung[100];

static void
on_time(struct alarm *alarm)
{
	struct ring *ring = (struct ring *)alarm;
	char name[] = { ring->name, '\0' };

	ring->rang = wallclock_now(&wall);
	ck_assert(!alarm_is_set(alarm));
	ck_assert(alarm->active);
	ck_assert_double_ge(ring->rang, alarm->at);
	if (strlen(rung) + 1 < sizeof(rung))
		strcat(rung, name);
}

static void
on_break(struct alarm *alarm, const struct alarm_break *b)
{
	struct ring *ring = (struct ring *)alarm;

	ring->jumps++;
	ring->before = b->before;
}

/* Starts an alarm; at: 0 for no time. */
static void
start(struct ring *ring, char name, double at)
{
	*ring = (struct ring){ .name = name };
	alarm_init(&ring->alarm, &group);
	ring->alarm.on_time = on_time;
	ring->alarm.on_break = on_break;
	alarm_start(&ring->alarm);
	if (at != 0)
		alarm_set(&ring->alarm, at);
}

static void
stop(struct ring *ring)
{
	alarm_stop(&ring->alarm);
}

/*
 * One iteration, so many seconds later, and a microsecond: a double of the
 * date is good to half of one.
 */
static void
run(double seconds)
{
	fakeclock_advance(seconds + 1e-6);
	ev_run(loop, EVRUN_NOWAIT);
}

static void
on_deadline(struct timeline *t, struct deadline *deadline)
{
	ck_assert_ptr_eq(t, &timeline);
	alarm_expire((struct alarm *)deadline);
}

static void
begin(void)
{
	loop = ev_loop_new(EVFLAG_NOENV);
	wallclock_init(&wall, loop);
	timelines_init(&timelines, &wall);
	alarms_init(&alarms, &wall);
	timeline_init(&timeline, &timelines);
	timeline.on_time = on_deadline;
	alarm_group_init(&group, &alarms, &timeline);
}

static void
end(void)
{
	alarm_group_fini(&group);
	timeline_end(&timeline);
	alarms_fini(&alarms);
	timelines_fini(&timelines);
	wallclock_fini(&wall);
	ev_verify(loop);
	ev_loop_destroy(loop);
}

static void
setup(void)
{
	log_set_level(LEVEL_ERROR);
	rung[0] = '\0';
	fakeclock_start(MONOTONIC, NOW);
	begin();
}

static void
teardown(void)
{
	ck_assert(TAILQ_EMPTY(&group.active));
	end();
	fakeclock.on = false;
}

/* From here on with the clocks of the machine, or with ours again. */
static void
set_real(bool real)
{
	end();
	fakeclock.on = !real;
	begin();
}

/* --- alarms -------------------------------------------------------------- */

START_TEST(alarm_comes_at_its_time)
{
	struct ring a;

	start(&a, 'a', NOW + 10);
	run(9.9);
	ck_assert_str_eq(rung, "");
	run(0.1);
	ck_assert_str_eq(rung, "a");
	run(100);
	ck_assert_str_eq(rung, "a");
	stop(&a);
}
END_TEST

START_TEST(alarm_in_the_past_comes_at_once)
{
	struct ring a;

	start(&a, 'a', 5);
	run(0);
	ck_assert_str_eq(rung, "a");
	stop(&a);
}
END_TEST

START_TEST(alarms_come_in_order)
{
	struct ring a, b, c;

	start(&c, 'c', NOW + 3);
	start(&a, 'a', NOW + 1);
	start(&b, 'b', NOW + 2);
	run(5);
	ck_assert_str_eq(rung, "abc");
	stop(&a);
	stop(&b);
	stop(&c);
}
END_TEST

START_TEST(alarm_can_be_set_anew_and_unset)
{
	struct ring a;

	start(&a, 'a', NOW + 1);
	alarm_set(&a.alarm, NOW + 3);
	run(2);
	ck_assert_str_eq(rung, "");
	alarm_unset(&a.alarm);
	ck_assert(!alarm_is_set(&a.alarm));
	run(2);
	ck_assert_str_eq(rung, "");
	alarm_set(&a.alarm, NOW + 5);
	run(2);
	ck_assert_str_eq(rung, "a");
	stop(&a);
}
END_TEST

START_TEST(stopped_alarm_is_silent)
{
	struct ring a;

	start(&a, 'a', NOW + 1);
	stop(&a);
	stop(&a);
	ck_assert(!alarm_is_set(&a.alarm));
	run(2);
	ck_assert_str_eq(rung, "");
	alarm_start(&a.alarm);
	alarm_start(&a.alarm);
	alarm_set(&a.alarm, NOW + 3);
	run(2);
	ck_assert_str_eq(rung, "a");
	stop(&a);
}
END_TEST

/*
 * on_time() checks each; and none is more than a little late.  The clock stops
 * close to the time as well, where roundings show.
 */
START_TEST(no_alarm_is_early)
{
	struct ring a;

	start(&a, 'a', 0);
	for (int i = 0; i < 3000; i++) {
		double after = (double)unit_below(500000000) * 1e-9;
		double at = wallclock_now(&wall) + after;

		alarm_set(&a.alarm, at);
		a.rang = 0;
		if (i % 2)
			run(after - (double)unit_below(3000) * 1e-9);
		while (a.rang == 0) {
			ck_assert_double_lt(wallclock_now(&wall), at + 1e-5);
			run((double)unit_below(i % 2 ? 300 : 200000000) * 1e-9);
		}
	}
	stop(&a);
}
END_TEST

START_TEST(no_alarm_is_early_by_the_real_clock)
{
	struct ring a;

	set_real(true);
	start(&a, 'a', 0);
	for (int i = 0; i < 100; i++) {
		alarm_set(&a.alarm,
		    wallclock_now(&wall) + (double)unit_below(2000) * 1e-6);
		a.rang = 0;
		while (a.rang == 0)
			ev_run(loop, EVRUN_ONCE);
	}
	stop(&a);
	set_real(false);
}
END_TEST

/* --- jumps --------------------------------------------------------------- */

START_TEST(jump_is_told_to_active_alarms)
{
	struct ring a, b, c;

	start(&a, 'a', NOW + 10);
	start(&b, 'b', 0);
	start(&c, 'c', NOW + 10);
	stop(&c);
	fakeclock_advance(1);
	wallclock_update(&wall);
	fakeclock_jump(3600);
	wall.suspect = true;
	ev_run(loop, EVRUN_NOWAIT);
	ck_assert_int_eq(a.jumps, 1);
	ck_assert_int_eq(b.jumps, 1);
	ck_assert_int_eq(c.jumps, 0);
	ck_assert(a.before == NOW + 1);
	ck_assert(wallclock_now(&wall) == NOW + 3601);
	ck_assert(wallclock_monotonic(&wall) == MONOTONIC + 1);
	stop(&a);
	stop(&b);
}
END_TEST

/* What is set by the old clock is the handler's; it sets it anew. */
static void
set_anew(struct alarm *alarm, const struct alarm_break *b)
{
	on_break(alarm, b);
	alarm_set(alarm, NOW + 100);
}

START_TEST(alarm_that_is_set_anew_comes_by_the_new_clock)
{
	struct ring a;

	start(&a, 'a', NOW + 100);
	a.alarm.on_break = set_anew;
	fakeclock_jump(90);
	wall.suspect = true;
	run(5);
	ck_assert_str_eq(rung, "");
	run(5);
	ck_assert_str_eq(rung, "a");
	stop(&a);
}
END_TEST

static struct ring late;

static void
start_another(struct alarm *alarm, const struct alarm_break *b)
{
	on_break(alarm, b);
	start(&late, 'l', 0);
}

START_TEST(alarm_started_by_a_jump_does_not_hear_of_it)
{
	struct ring a, b;

	start(&a, 'a', 0);
	start(&b, 'b', 0);
	a.alarm.on_break = start_another;
	fakeclock_jump(90);
	wall.suspect = true;
	run(0);
	ck_assert_int_eq(a.jumps, 1);
	ck_assert_int_eq(b.jumps, 1);
	ck_assert_int_eq(late.jumps, 0);
	ck_assert(late.alarm.active);
	stop(&a);
	stop(&b);
	stop(&late);
}
END_TEST

static void
stop_itself(struct alarm *alarm, const struct alarm_break *b)
{
	on_break(alarm, b);
	alarm_stop(alarm);
}

START_TEST(alarms_may_stop_when_they_hear_of_a_jump)
{
	struct ring rings[3];

	for (int i = 0; i < 3; i++) {
		start(&rings[i], 'a', 0);
		rings[i].alarm.on_break = stop_itself;
	}
	fakeclock_jump(90);
	wall.suspect = true;
	run(0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(rings[i].jumps, 1);
	ck_assert(TAILQ_EMPTY(&group.active));
}
END_TEST

#define MANY	   2500
#define STEPS_MAX  20
#define IN_ONE_RUN 1000 /* alarms that hear of breaks in one iteration */

/* One that keeps what the breaks have said. */
struct listener_ring {
	struct ring ring; /* first */
	double befores[STEPS_MAX];
	bool stops; /* when it has heard of the first */
};

static struct listener_ring many[MANY];
static int told; /* so many breaks, of all alarms together */

static void
keep_before(struct alarm *alarm, const struct alarm_break *b)
{
	struct listener_ring *l = (struct listener_ring *)alarm;

	l->befores[l->ring.jumps++] = b->before;
	told++;
	if (l->stops)
		alarm_stop(alarm);
}

static void
start_many(void)
{
	for (int i = 0; i < MANY; i++) {
		start(&many[i].ring, 'm', 0);
		many[i].ring.alarm.on_break = keep_before;
		many[i].stops = i % 10 == 9;
	}
	told = 0;
}

/* The clock is set, and evd sees that in its next iteration. */
static void
step_clock(void)
{
	fakeclock_advance(1);
	wallclock_update(&wall);
	fakeclock_jump(3600);
	wall.suspect = true;
	ev_run(loop, EVRUN_NOWAIT);
}

static void
settle_and_stop_many(int steps)
{
	while (!alarm_group_is_settled(&group))
		ev_run(loop, EVRUN_NOWAIT);
	for (int i = 0; i < MANY; i++) {
		const struct listener_ring *l = &many[i];

		ck_assert_int_eq(l->ring.jumps, l->stops ? 1 : steps);
		for (int n = 0; n < l->ring.jumps; n++)
			ck_assert(l->befores[n] == NOW + n * 3601 + 1);
		stop(&many[i].ring);
	}
	ck_assert(TAILQ_EMPTY(&alarms.late));
}

START_TEST(jump_while_another_is_being_told_tells_none_at_once)
{
	start_many();
	for (int i = 1; i <= ALARM_BREAKS_KEPT; i++) {
		int before = told;

		step_clock();
		ck_assert(!alarm_group_is_settled(&group));
		ck_assert_int_le(told - before, i * IN_ONE_RUN);
	}
	settle_and_stop_many(ALARM_BREAKS_KEPT);
}
END_TEST

START_TEST(jumps_are_told_in_order_however_many_come)
{
	start_many();
	for (int i = 0; i < STEPS_MAX; i++)
		step_clock();
	settle_and_stop_many(STEPS_MAX);
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("alarm", setup, teardown);

	tcase_add_test(cases, alarm_comes_at_its_time);
	tcase_add_test(cases, alarm_in_the_past_comes_at_once);
	tcase_add_test(cases, alarms_come_in_order);
	tcase_add_test(cases, alarm_can_be_set_anew_and_unset);
	tcase_add_test(cases, stopped_alarm_is_silent);
	tcase_add_test(cases, no_alarm_is_early);
	tcase_add_test(cases, no_alarm_is_early_by_the_real_clock);
	tcase_add_test(cases, jump_is_told_to_active_alarms);
	tcase_add_test(cases, alarm_that_is_set_anew_comes_by_the_new_clock);
	tcase_add_test(cases, alarm_started_by_a_jump_does_not_hear_of_it);
	tcase_add_test(cases, alarms_may_stop_when_they_hear_of_a_jump);
	tcase_add_test(cases,
	    jump_while_another_is_being_told_tells_none_at_once);
	tcase_add_test(cases, jumps_are_told_in_order_however_many_come);
	return unit_run(cases);
}
