#include "config.h"

#include <math.h>

#include "bench.h"

#define TIMER(members) \
	"{'cmd':'watch','type':'timer','watcher':'t'," members "}"

START_TEST(one_shot_fires_once_at_its_time)
{
	expect(TIMER("'after':1.5"), DONE);
	bench_run(1.25);
	expect_events("");
	bench_run(0.25);
	ck_assert_str_eq(bench_events(),
	    "{'event':'timer','watcher':'t','revents':256,'seq':1,"
	    "'time':3800000001.500000,'active':false}");
	bench_run(100);
	expect_events("");
}
END_TEST

START_TEST(repeating_one_ticks_and_ticks)
{
	expect(TIMER("'after':1,'repeat':0.5"), DONE);
	bench_run(1);
	expect_events("t");
	bench_run(0.25);
	expect_events("");
	bench_run(0.25);
	expect_events("t");
	bench_run(0.5);
	expect_events("t");
}
END_TEST

START_TEST(ticks_that_nobody_reads_are_counted)
{
	expect(TIMER("'after':1,'repeat':0.5"), DONE);
	bench_run(1);
	bench_wait(3.75);
	ck_assert_str_eq(bench_events(),
	    "{'event':'timer','watcher':'t','revents':256,'seq':1,"
	    "'time':3800000001.000000,'overrun':7}");
	bench_run(0.25);
	bench.seq = 1;
	expect_events("t");
}
END_TEST

START_TEST(late_loop_counts_them_too)
{
	expect(TIMER("'after':1,'repeat':0.5"), DONE);
	bench_run(3.25);
	expect_events("t+4");
	bench_run(0.25);
	expect_events("t");
}
END_TEST

START_TEST(pending_timer_is_not_armed)
{
	expect(TIMER("'after':0,'repeat':0.001"), DONE);
	bench_run(0);
	ck_assert_int_eq(bench.works, 1);
	for (int i = 0; i < 100; i++)
		bench_run(1);
	ck_assert_int_eq(bench.works, 1);
	ck_assert_uint_eq(bench_find("t")->overrun, 0);
	expect_events("t+100000");
}
END_TEST

START_TEST(timer_that_a_command_finds_due_is_not_armed)
{
	expect(TIMER("'after':1,'repeat':1"), DONE);
	bench_wait(1.5);
	bench_say("{'cmd':'get','watcher':'t'}");
	ck_assert_int_eq(bench.works, 1);
	for (int i = 0; i < 5; i++)
		bench_run(1);
	ck_assert_uint_eq(bench_find("t")->overrun, 0);
	expect_events("t+5");
}
END_TEST

START_TEST(absolute_time_in_the_past_counts_the_ticks_since)
{
	expect(TIMER("'at':990.5,'repeat':1"), DONE);
	bench_run(0);
	expect_events("t+9");
	bench_run(0.5);
	expect_events("t");
}
END_TEST

START_TEST(absolute_one_shot)
{
	expect(TIMER("'at':1002"), DONE);
	bench_run(1.999);
	expect_events("");
	bench_run(0.001);
	expect_events("t.");
}
END_TEST

START_TEST(overrun_has_an_end)
{
	expect(TIMER("'at':-1e10,'repeat':1e-9"), DONE);
	bench_run(0);
	expect_events("t+9007199254740991");
}
END_TEST

START_TEST(timers_of_one_iteration_fire_in_order_of_time)
{
	expect("{'cmd':'watch','type':'timer','watcher':'c','after':3}", DONE);
	expect("{'cmd':'watch','type':'timer','watcher':'a','after':1}", DONE);
	expect("{'cmd':'watch','type':'timer','watcher':'b','after':2}", DONE);
	bench_run(5);
	expect_events("a. b. c.");
}
END_TEST

/* --- stop, start, reset, set --------------------------------------------- */

START_TEST(stopped_timer_goes_on_with_what_remained)
{
	expect(TIMER("'after':10"), DONE);
	bench_run(4);
	expect("{'cmd':'stop','watcher':'t'}", DONE);
	bench_run(100);
	expect_events("");
	expect("{'cmd':'start','watcher':'t'}", DONE);
	bench_run(5.75);
	expect_events("");
	bench_run(0.25);
	expect_events("t.");
}
END_TEST

START_TEST(stopped_absolute_timer_too)
{
	expect(TIMER("'at':1010"), DONE);
	bench_wait(4);
	expect("{'cmd':'stop','watcher':'t'}", DONE);
	bench_run(100);
	expect("{'cmd':'start','watcher':'t'}", DONE);
	bench_run(5.75);
	expect_events("");
	bench_run(0.25);
	expect_events("t.");
}
END_TEST

START_TEST(spent_timer_fires_at_once_when_started)
{
	expect(TIMER("'after':1"), DONE);
	bench_run(1);
	expect_events("t.");
	expect("{'cmd':'start','watcher':'t'}", DONE);
	bench_run(0);
	expect_events("t.");
}
END_TEST

START_TEST(stop_says_what_it_took_back)
{
	expect(TIMER("'after':1,'repeat':1"), DONE);
	bench_run(1);
	bench_wait(2.5);
	expect("{'cmd':'stop','watcher':'t'}",
	    "{'result':{'cleared':{'revents':256,'overrun':2}}}");
	bench_run(10);
	expect_events("");
}
END_TEST

START_TEST(clear_takes_ticks_that_have_not_fired_yet)
{
	expect(TIMER("'after':1,'repeat':1"), DONE);
	bench_wait(3.5);
	expect("{'cmd':'clear','watcher':'t'}",
	    "{'result':{'cleared':{'revents':256,'overrun':2}}}");
	bench_run(0.25);
	expect_events("");
	bench_run(0.25);
	expect_events("t");
}
END_TEST

START_TEST(reset_counts_from_now)
{
	expect(TIMER("'after':1,'repeat':2"), DONE);
	bench_run(0.75);
	expect("{'cmd':'reset','watcher':'t'}", DONE);
	bench_run(1.75);
	expect_events("");
	bench_run(0.25);
	expect_events("t");
}
END_TEST

START_TEST(reset_starts_a_stopped_one_and_takes_back)
{
	expect(TIMER("'after':1,'repeat':2"), DONE);
	bench_run(1);
	expect("{'cmd':'reset','watcher':'t'}",
	    "{'result':{'cleared':{'revents':256,'overrun':0}}}");
	expect("{'cmd':'stop','watcher':'t'}", DONE);
	expect("{'cmd':'reset','watcher':'t'}", DONE);
	bench_run(2);
	expect_events("t");
}
END_TEST

START_TEST(reset_without_repeat_stops)
{
	expect(TIMER("'after':1"), DONE);
	bench_run(0.5);
	expect("{'cmd':'reset','watcher':'t'}", DONE);
	bench_run(10);
	expect_events("");
	ck_assert(!bench_find("t")->active);
}
END_TEST

START_TEST(new_repeat_counts_from_the_next_tick)
{
	expect(TIMER("'after':1,'repeat':1"), DONE);
	expect("{'cmd':'set','watcher':'t','repeat':0.25}", DONE);
	bench_run(0.75);
	expect_events("");
	bench_run(0.25);
	expect_events("t");
	bench_run(0.25);
	expect_events("t");
}
END_TEST

START_TEST(new_repeat_while_an_event_is_pending)
{
	expect(TIMER("'after':1,'repeat':1"), DONE);
	bench_run(1);
	bench_wait(1.5);
	/* Ticked at 1 and 2; then at 3, 3.25, 3.5. */
	expect("{'cmd':'set','watcher':'t','repeat':0.25}", DONE);
	bench_wait(1.0);
	expect_events("t+4");
}
END_TEST

/* It ticks once more, and then it is spent. */
START_TEST(repeat_of_0_while_an_event_is_pending)
{
	expect(TIMER("'after':1,'repeat':1"), DONE);
	bench_run(1);
	expect("{'cmd':'set','watcher':'t','repeat':0}", DONE);
	bench_wait(10);
	bench_summary();
	bench_run(0);
	bench_summary();
	ck_assert_uint_eq(bench.ticks, 2);
	ck_assert(!bench_find("t")->active);
}
END_TEST

START_TEST(set_of_an_inactive_one_replaces_the_time)
{
	expect(TIMER("'after':1,'start':false"), DONE);
	bench_run(5);
	expect("{'cmd':'set','watcher':'t','after':2}", DONE);
	expect("{'cmd':'start','watcher':'t'}", DONE);
	bench_run(1.75);
	expect_events("");
	bench_run(0.25);
	expect_events("t.");
	expect("{'cmd':'set','watcher':'t','at':1000}", DONE);
	expect("{'cmd':'start','watcher':'t'}", DONE);
	bench_run(0);
	expect_events("t.");
}
END_TEST

START_TEST(set_of_the_time_of_an_active_one_is_refused)
{
	expect(TIMER("'after':1"), DONE);
	expect("{'cmd':'set','watcher':'t','repeat':1,'after':2}",
	    "{'error':{'code':'watcher-active','message':'member \\'after\\' "
	    "can't be set while the watcher is active, expected a stop "
	    "before','line':2,'cmd':'set','watcher':'t'}}");
	bench_run(1);
	expect_events("t.");
}
END_TEST

START_TEST(set_of_what_is_watched_takes_back_and_ends_a_hold)
{
	expect(TIMER("'after':1,'hold':true"), DONE);
	bench_run(1);
	expect_events("t.");
	expect("{'cmd':'feed','watcher':'t','revents':1}", DONE);
	expect("{'cmd':'set','watcher':'t','after':2}",
	    "{'result':{'cleared':{'revents':1,'overrun':0}}}");
	ck_assert(!watcher_is_held(bench_find("t")));
	expect_events("");
}
END_TEST

START_TEST(set_of_a_period_takes_nothing_back)
{
	expect(TIMER("'after':1,'hold':true"), DONE);
	bench_run(1);
	expect_events("t.");
	expect("{'cmd':'feed','watcher':'t','revents':1}", DONE);
	expect("{'cmd':'set','watcher':'t','repeat':2}", DONE);
	ck_assert(watcher_is_held(bench_find("t")));
	expect("{'cmd':'ack'}", "{'result':{'freed':1}}");
	expect_events("t.");
}
END_TEST

START_TEST(once_and_hold)
{
	expect(TIMER("'after':1,'repeat':1,'once':true"), DONE);
	bench_run(1);
	expect_events("t.");
	expect("{'cmd':'unwatch','watcher':'t'}", DONE);
	expect(TIMER("'after':1,'repeat':1,'hold':true"), DONE);
	bench_run(1);
	expect_events("t");
	bench_run(2.5);
	expect_events("");
	expect("{'cmd':'ack'}", "{'result':{'freed':1}}");
	expect_events("t+1");
}
END_TEST

START_TEST(get_says_what_remains)
{
	static const char state[] = "{'result':{'type':'timer','watcher':'t',"
				    "'active':%s,'priority':0,'remaining':%s,"
				    "'repeat':%s}}";
	char expected[200];

	expect(TIMER("'after':2.5,'repeat':0.75"), DONE);
	bench_wait(1);
	snprintf(expected, sizeof(expected), state, "true", "1.500000000",
	    "0.75");
	expect("{'cmd':'get','watcher':'t'}", expected);
	expect("{'cmd':'stop','watcher':'t'}", DONE);
	bench_wait(1);
	snprintf(expected, sizeof(expected), state, "false", "1.500000000",
	    "0.75");
	expect("{'cmd':'get','watcher':'t'}", expected);
	expect("{'cmd':'set','watcher':'t','at':1010,'repeat':0}", DONE);
	snprintf(expected, sizeof(expected), state, "false", "8.000000000",
	    "0");
	expect("{'cmd':'get','watcher':'t'}", expected);
	expect("{'cmd':'start','watcher':'t'}", DONE);
	bench_run(100);
	expect_events("t.");
	snprintf(expected, sizeof(expected), state, "false", "0.000000000",
	    "0");
	expect("{'cmd':'get','watcher':'t'}", expected);
}
END_TEST

/* --- many, at random ----------------------------------------------------- */

/*
 * However oddly the clock goes on: never before its time, and then at once.
 * It stops close to the time as well, where roundings show.
 */
START_TEST(no_timer_is_early)
{
	for (int i = 0; i < 3000; i++) {
		double after = (double)unit_below(300000000) * 1e-9;
		double step = after;
		double due;
		char line[128];

		snprintf(line, sizeof(line), TIMER("'after':%.9f,'once':true"),
		    after);
		due = wallclock_monotonic(&bench.clock) +
		    strtod(strstr(line, "'after':") + 8, NULL);
		expect(line, DONE);
		while (!batch_has_ready(bench.session)) {
			ck_assert_double_lt(
			    wallclock_monotonic(&bench.clock) - 2e-9, due);
			fakeclock_advance(step);
			ev_run(bench.loop, EVRUN_NOWAIT);
			step = 1e-9 * (double)unit_below(i % 2 ? 3 : 300000000);
		}
		ck_assert_double_ge(wallclock_monotonic(&bench.clock), due);
		bench_say("{'cmd':'unwatch','watcher':'t'}");
	}
}
END_TEST

static uint64_t
cleared_ticks(const char *reply)
{
	const char *overrun = strstr(reply, "'overrun':");

	return overrun == NULL ? 0 : 1 + strtoull(overrun + 10, NULL, 10);
}

/*
 * The law: ticks due are events written, their overruns, and what was taken
 * back; whatever is done between.
 */
START_TEST(every_tick_is_told_once)
{
	uint64_t taken = 0, due;

	expect(TIMER("'after':0.25,'repeat':0.125,'hold':true"), DONE);
	for (int i = 0; i < 20000; i++) {
		double seconds = (double)unit_below(64) / 128;

		switch (unit_below(6)) {
		case 0:
			bench_run(seconds);
			break;
		case 1:
			fakeclock_advance(seconds);
			break;
		case 2:
			wallclock_update(&bench.clock);
			break;
		case 3:
			bench_summary();
			break;
		case 4:
			taken += cleared_ticks(
			    bench_say("{'cmd':'clear','watcher':'t'}"));
			break;
		case 5:
			bench_say(unit_below(2) ?
				"{'cmd':'ack'}" :
				"{'cmd':'get','watcher':'t'}");
			break;
		}
	}
	bench_run(0);
	taken += cleared_ticks(bench_say("{'cmd':'stop','watcher':'t'}"));
	due = (uint64_t)((wallclock_monotonic(&bench.clock) - BENCH_MONOTONIC -
			     0.25) /
		  0.125) +
	    1;
	ck_assert_uint_gt(bench.ticks, 0);
	ck_assert_uint_eq(bench.ticks + taken, due);
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("timer", bench_setup, bench_teardown);

	tcase_add_test(cases, one_shot_fires_once_at_its_time);
	tcase_add_test(cases, repeating_one_ticks_and_ticks);
	tcase_add_test(cases, ticks_that_nobody_reads_are_counted);
	tcase_add_test(cases, late_loop_counts_them_too);
	tcase_add_test(cases, pending_timer_is_not_armed);
	tcase_add_test(cases, timer_that_a_command_finds_due_is_not_armed);
	tcase_add_test(cases, absolute_time_in_the_past_counts_the_ticks_since);
	tcase_add_test(cases, absolute_one_shot);
	tcase_add_test(cases, overrun_has_an_end);
	tcase_add_test(cases, timers_of_one_iteration_fire_in_order_of_time);
	tcase_add_test(cases, stopped_timer_goes_on_with_what_remained);
	tcase_add_test(cases, stopped_absolute_timer_too);
	tcase_add_test(cases, spent_timer_fires_at_once_when_started);
	tcase_add_test(cases, stop_says_what_it_took_back);
	tcase_add_test(cases, clear_takes_ticks_that_have_not_fired_yet);
	tcase_add_test(cases, reset_counts_from_now);
	tcase_add_test(cases, reset_starts_a_stopped_one_and_takes_back);
	tcase_add_test(cases, reset_without_repeat_stops);
	tcase_add_test(cases, new_repeat_counts_from_the_next_tick);
	tcase_add_test(cases, new_repeat_while_an_event_is_pending);
	tcase_add_test(cases, repeat_of_0_while_an_event_is_pending);
	tcase_add_test(cases, set_of_an_inactive_one_replaces_the_time);
	tcase_add_test(cases, set_of_the_time_of_an_active_one_is_refused);
	tcase_add_test(cases,
	    set_of_what_is_watched_takes_back_and_ends_a_hold);
	tcase_add_test(cases, set_of_a_period_takes_nothing_back);
	tcase_add_test(cases, once_and_hold);
	tcase_add_test(cases, get_says_what_remains);
	tcase_add_test(cases, no_timer_is_early);
	tcase_add_test(cases, every_tick_is_told_once);
	return unit_run(cases);
}
