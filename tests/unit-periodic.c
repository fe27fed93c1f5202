#include "config.h"

#include <math.h>

#include "bench.h"

/* The wall clock shows 3800000000 at first: 20 s past a minute. */
#define PERIODIC(members) \
	"{'cmd':'watch','type':'periodic','watcher':'p'," members "}"

/* Somebody sets the wall clock, and the kernel tells libev. */
static void
jump(double seconds)
{
	wallclock_update(&bench.clock);
	fakeclock_jump(seconds);
	bench.clock.suspect = true;
	ev_run(bench.loop, EVRUN_NOWAIT);
}

START_TEST(fires_at_multiples_of_the_interval)
{
	expect(PERIODIC("'interval':60"), DONE);
	bench_run(39.5);
	expect_events("");
	bench_run(0.5);
	ck_assert_str_eq(bench_events(),
	    "{'event':'periodic','watcher':'p','revents':512,'seq':1,"
	    "'time':3800000040.000000,'at':3800000100.000000}");
	bench.seq = 1;
	bench_run(59.5);
	expect_events("");
	bench_run(0.5);
	expect_events("p");
}
END_TEST

START_TEST(offset_shifts_the_slots)
{
	expect(PERIODIC("'interval':60,'offset':25"), DONE);
	bench_run(4.5);
	expect_events("");
	bench_run(0.5);
	expect_events("p");
}
END_TEST

START_TEST(offset_may_be_anywhere)
{
	expect(PERIODIC("'interval':60,'offset':3800000305"), DONE);
	bench_run(5);
	expect_events("p");
	expect("{'cmd':'unwatch','watcher':'p'}", DONE);
	expect(PERIODIC("'interval':60,'offset':-30"), DONE);
	bench_run(4.5);
	expect_events("");
	bench_run(0.5);
	expect_events("p");
}
END_TEST

/* At the second slot of now: the next is a whole interval away. */
START_TEST(started_in_a_slot_it_waits_for_the_next)
{
	expect(PERIODIC("'interval':10"), DONE);
	bench_run(9.5);
	expect_events("");
	bench_run(0.5);
	expect_events("p");
}
END_TEST

START_TEST(absolute_time_is_a_one_shot)
{
	expect(PERIODIC("'offset':3800000007"), DONE);
	bench_run(6.5);
	expect_events("");
	bench_run(0.5);
	expect_events("p.");
	bench_run(1000);
	expect_events("");
}
END_TEST

START_TEST(absolute_time_in_the_past_fires_at_once)
{
	expect(PERIODIC("'offset':5"), DONE);
	bench_run(0);
	expect_events("p.");
}
END_TEST

START_TEST(slots_that_nobody_reads_are_counted)
{
	expect(PERIODIC("'interval':0.25"), DONE);
	bench_run(0.25);
	bench_wait(10.125);
	expect_events("p+40");
	bench_run(0.125);
	expect_events("p");
}
END_TEST

START_TEST(pending_periodic_is_not_armed)
{
	expect(PERIODIC("'interval':0.000001"), DONE);
	bench_run(0.1);
	for (int i = 0; i < 100; i++)
		bench_run(0.1);
	ck_assert_int_eq(bench.works, 1);
}
END_TEST

START_TEST(periodic_that_a_command_finds_due_is_not_armed)
{
	expect(PERIODIC("'interval':1"), DONE);
	bench_wait(1.5);
	bench_say("{'cmd':'get','watcher':'p'}");
	ck_assert_int_eq(bench.works, 1);
	for (int i = 0; i < 5; i++)
		bench_run(1);
	ck_assert_uint_eq(bench_find("p")->overrun, 0);
	expect_events("p+5");
}
END_TEST

START_TEST(shortest_interval_is_counted)
{
	expect(PERIODIC("'interval':0.000001"), DONE);
	bench_run(0.5);
	bench_wait(0.5);
	bench_summary();
	/* A double is good to 0.48 us at this date. */
	ck_assert_uint_ge(bench.ticks, 1000000 - 1);
	ck_assert_uint_le(bench.ticks, 1000000 + 1);
}
END_TEST

/* --- stop, reset, set ---------------------------------------------------- */

START_TEST(stop_says_what_it_took_back)
{
	expect(PERIODIC("'interval':1"), DONE);
	bench_run(1);
	bench_wait(2.5);
	expect("{'cmd':'stop','watcher':'p'}",
	    "{'result':{'cleared':{'revents':512,'overrun':2}}}");
	bench_run(10);
	expect_events("");
	expect("{'cmd':'start','watcher':'p'}", DONE);
	bench_run(1);
	expect_events("p");
}
END_TEST

START_TEST(new_interval_after_the_next_slot)
{
	expect(PERIODIC("'interval':60"), DONE);
	expect("{'cmd':'set','watcher':'p','interval':7}", DONE);
	bench_run(39.5);
	expect_events("");
	/* 3800000040; then the multiples of 7, from 3800000043 on. */
	bench_run(0.5);
	expect_events("p");
	bench_run(2.5);
	expect_events("");
	bench_run(0.5);
	expect_events("p");
	bench_run(7);
	expect_events("p");
}
END_TEST

START_TEST(new_interval_takes_effect_at_reset)
{
	expect(PERIODIC("'interval':60"), DONE);
	expect("{'cmd':'set','watcher':'p','interval':5}", DONE);
	expect("{'cmd':'reset','watcher':'p'}", DONE);
	bench_run(5);
	expect_events("p");
}
END_TEST

START_TEST(new_interval_while_an_event_is_pending)
{
	expect(PERIODIC("'interval':60"), DONE);
	bench_run(40);
	expect("{'cmd':'set','watcher':'p','interval':10}", DONE);
	/* At 100, 110, 120, 130. */
	bench_wait(95);
	expect_events("p+4");
	bench_run(5);
	expect_events("p");
}
END_TEST

START_TEST(interval_of_0_makes_it_a_one_shot)
{
	expect(PERIODIC("'interval':60"), DONE);
	expect("{'cmd':'set','watcher':'p','interval':0}", DONE);
	bench_run(40);
	expect_events("p.");
}
END_TEST

START_TEST(interval_of_0_while_an_event_is_pending)
{
	expect(PERIODIC("'interval':60"), DONE);
	bench_run(40);
	expect("{'cmd':'set','watcher':'p','interval':0}", DONE);
	bench_wait(1000);
	bench_summary();
	bench_run(0);
	bench_summary();
	ck_assert_uint_eq(bench.ticks, 2);
	ck_assert(!bench_find("p")->active);
}
END_TEST

START_TEST(reset_starts_a_stopped_one)
{
	expect(PERIODIC("'interval':1,'start':false"), DONE);
	bench_run(5);
	expect_events("");
	expect("{'cmd':'reset','watcher':'p'}", DONE);
	bench_run(1);
	expect_events("p");
}
END_TEST

START_TEST(get_says_which_slots)
{
	expect(PERIODIC("'interval':60,'offset':0.5,'jumps':true"), DONE);
	expect("{'cmd':'get','watcher':'p'}",
	    "{'result':{'type':'periodic','watcher':'p','active':true,"
	    "'priority':0,'offset':0.5,'interval':60,'jumps':true,"
	    "'at':3800000040.500000}}");
	expect("{'cmd':'stop','watcher':'p'}", DONE);
	expect("{'cmd':'get','watcher':'p'}",
	    "{'result':{'type':'periodic','watcher':'p','active':false,"
	    "'priority':0,'offset':0.5,'interval':60,'jumps':true}}");
}
END_TEST

/* --- the clock is set ---------------------------------------------------- */

START_TEST(slots_that_the_clock_is_set_over_are_skipped)
{
	expect(PERIODIC("'interval':60"), DONE);
	jump(3600);
	expect_events("");
	bench_run(39.5);
	expect_events("");
	bench_run(0.5);
	ck_assert_str_eq(bench_events(),
	    "{'event':'periodic','watcher':'p','revents':512,'seq':1,"
	    "'time':3800003640.000000,'at':3800003700.000000}");
}
END_TEST

START_TEST(slots_that_come_again_fire_again)
{
	expect(PERIODIC("'interval':60"), DONE);
	bench_run(40);
	expect_events("p");
	jump(-10);
	expect_events("");
	bench_run(9.5);
	expect_events("");
	bench_run(0.5);
	expect_events("p");
}
END_TEST

START_TEST(absolute_time_that_the_clock_is_set_over_fires_at_once)
{
	expect(PERIODIC("'offset':3800000100"), DONE);
	jump(200);
	bench_run(0);
	expect_events("p.");
}
END_TEST

START_TEST(absolute_time_comes_later_when_the_clock_is_set_back)
{
	expect(PERIODIC("'offset':3800000100"), DONE);
	jump(-1000);
	bench_run(1000);
	expect_events("");
	bench_run(100);
	expect_events("p.");
}
END_TEST

START_TEST(jumps_are_told_to_who_asked)
{
	expect(PERIODIC("'interval':60,'jumps':true"), DONE);
	jump(3600);
	ck_assert_str_eq(bench_events(),
	    "{'event':'periodic','watcher':'p','revents':512,'seq':1,"
	    "'time':3800003600.000000,'at':3800003640.000000,'jump':true}");
	bench.seq = 1;
	bench_run(40);
	expect_events("p");
	jump(-7);
	ck_assert_ptr_nonnull(strstr(bench_events(), "'jump':true"));
}
END_TEST

START_TEST(jump_is_told_once)
{
	expect(PERIODIC("'interval':60,'jumps':true"), DONE);
	jump(3600);
	bench_summary();
	bench_run(40);
	ck_assert_ptr_null(strstr(bench_events(), "jump"));
	jump(3600);
	expect("{'cmd':'clear','watcher':'p'}",
	    "{'result':{'cleared':{'revents':512,'overrun':0}}}");
	bench_run(60);
	ck_assert_ptr_null(strstr(bench_events(), "jump"));
}
END_TEST

START_TEST(what_was_due_before_the_jump_is_counted)
{
	expect(PERIODIC("'interval':1"), DONE);
	bench_run(1);
	fakeclock_advance(5.5);
	jump(-1000);
	expect_events("p+5");
	expect("{'cmd':'unwatch','watcher':'p'}", DONE);
	expect(PERIODIC("'interval':1,'jumps':true"), DONE);
	bench_run(0.5);
	bench_wait(3);
	jump(5000);
	expect_events("p+4");
}
END_TEST

START_TEST(jump_while_an_event_is_pending_skips_too)
{
	expect(PERIODIC("'interval':1"), DONE);
	bench_run(1.5);
	jump(1000);
	bench_run(1);
	bench_run(1);
	ck_assert_uint_eq(bench_find("p")->overrun, 0);
	expect_events("p+2");
}
END_TEST

START_TEST(once_ends_by_a_jump_as_well)
{
	expect(PERIODIC("'interval':60,'jumps':true,'once':true"), DONE);
	jump(1000);
	ck_assert_str_eq(bench_events(),
	    "{'event':'periodic','watcher':'p','revents':512,'seq':1,"
	    "'time':3800001000.000000,'jump':true,'active':false}");
	jump(1000);
	bench_run(100);
	bench.seq = 1;
	expect_events("");
}
END_TEST

/* --- many, at random ----------------------------------------------------- */

static uint64_t
cleared_ticks(const char *reply)
{
	const char *overrun = strstr(reply, "'overrun':");

	return overrun == NULL ? 0 : 1 + strtoull(overrun + 10, NULL, 10);
}

START_TEST(every_slot_is_told_once)
{
	uint64_t taken = 0, due;

	expect(PERIODIC("'offset':0.0625,'interval':0.125,'hold':true"), DONE);
	for (int i = 0; i < 20000; i++) {
		double seconds = (double)unit_below(64) / 128;

		switch (unit_below(5)) {
		case 0:
			bench_run(seconds);
			break;
		case 1:
			bench_wait(seconds);
			break;
		case 2:
			bench_summary();
			break;
		case 3:
			taken += cleared_ticks(
			    bench_say("{'cmd':'clear','watcher':'p'}"));
			break;
		case 4:
			bench_say(unit_below(2) ?
				"{'cmd':'ack'}" :
				"{'cmd':'get','watcher':'p'}");
			break;
		}
	}
	bench_run(0);
	taken += cleared_ticks(bench_say("{'cmd':'stop','watcher':'p'}"));
	due = (uint64_t)((wallclock_now(&bench.clock) - BENCH_NOW - 0.0625) /
		  0.125) +
	    1;
	ck_assert_uint_gt(bench.ticks, 0);
	ck_assert_uint_eq(bench.ticks + taken, due);
}
END_TEST

/* Whatever the slots and the clock: it fires in its slot, never before. */
START_TEST(no_periodic_is_early)
{
	for (int i = 0; i < 2000; i++) {
		double interval = (1 + (double)unit_below(1000)) * 1e-3;
		double offset = (double)unit_below(1000000) * 1e-3;
		double now, due;
		char line[128];

		bench_run((double)unit_below(3000) * 1e-4);
		now = wallclock_now(&bench.clock);
		/* On the edge of a slot there is no telling which is next. */
		if (fabs(remainder(now - offset, interval)) < 1e-5)
			continue;
		due = offset +
		    (floor((now - offset) / interval) + 1) * interval;
		snprintf(line, sizeof(line),
		    PERIODIC("'interval':%.3f,'offset':%.3f"), interval,
		    offset);
		expect(line, DONE);
		while (!batch_has_ready(bench.session)) {
			ck_assert_double_lt(wallclock_now(&bench.clock),
			    due + 1e-6);
			bench_run((double)unit_below(3000) * 1e-4);
		}
		ck_assert_double_gt(wallclock_now(&bench.clock), due - 1e-6);
		bench_say("{'cmd':'unwatch','watcher':'p'}");
	}
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("periodic", bench_setup, bench_teardown);

	tcase_add_test(cases, fires_at_multiples_of_the_interval);
	tcase_add_test(cases, offset_shifts_the_slots);
	tcase_add_test(cases, offset_may_be_anywhere);
	tcase_add_test(cases, started_in_a_slot_it_waits_for_the_next);
	tcase_add_test(cases, absolute_time_is_a_one_shot);
	tcase_add_test(cases, absolute_time_in_the_past_fires_at_once);
	tcase_add_test(cases, slots_that_nobody_reads_are_counted);
	tcase_add_test(cases, pending_periodic_is_not_armed);
	tcase_add_test(cases, periodic_that_a_command_finds_due_is_not_armed);
	tcase_add_test(cases, shortest_interval_is_counted);
	tcase_add_test(cases, stop_says_what_it_took_back);
	tcase_add_test(cases, new_interval_after_the_next_slot);
	tcase_add_test(cases, new_interval_takes_effect_at_reset);
	tcase_add_test(cases, new_interval_while_an_event_is_pending);
	tcase_add_test(cases, interval_of_0_makes_it_a_one_shot);
	tcase_add_test(cases, interval_of_0_while_an_event_is_pending);
	tcase_add_test(cases, reset_starts_a_stopped_one);
	tcase_add_test(cases, get_says_which_slots);
	tcase_add_test(cases, slots_that_the_clock_is_set_over_are_skipped);
	tcase_add_test(cases, slots_that_come_again_fire_again);
	tcase_add_test(cases,
	    absolute_time_that_the_clock_is_set_over_fires_at_once);
	tcase_add_test(cases,
	    absolute_time_comes_later_when_the_clock_is_set_back);
	tcase_add_test(cases, jumps_are_told_to_who_asked);
	tcase_add_test(cases, jump_is_told_once);
	tcase_add_test(cases, what_was_due_before_the_jump_is_counted);
	tcase_add_test(cases, jump_while_an_event_is_pending_skips_too);
	tcase_add_test(cases, once_ends_by_a_jump_as_well);
	tcase_add_test(cases, every_slot_is_told_once);
	tcase_add_test(cases, no_periodic_is_early);
	return unit_run(cases);
}
