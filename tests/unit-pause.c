#include "config.h"

#include "pause.h"

#include <math.h>

#include "bench.h"

#define TIMER(members) \
	"{'cmd':'watch','type':'timer','watcher':'t'," members "}"
#define PERIODIC(members) \
	"{'cmd':'watch','type':'periodic','watcher':'p'," members "}"
#define GET(name) "{'cmd':'get','watcher':'" name "'}"
#define SUSPEND	  "{'cmd':'suspend'}"
#define RESUME	  "{'cmd':'resume'}"

/* With alarms the reply comes when the loop has told them. */
static void
resume(void)
{
	const char *reply = bench_say(RESUME);

	while (*reply == '\0') {
		ev_run(bench.loop, EVRUN_NOWAIT);
		reply = bench_resume();
	}
	ck_assert_str_eq(reply, DONE);
}

/* The session is suspended for so long; the loop goes on. */
static void
pause_for(double seconds)
{
	expect(SUSPEND, DONE);
	bench_run(seconds / 2);
	expect_events("");
	bench_run(seconds / 2);
	expect_events("");
	resume();
}

/* The wall clock is set, and the loop sees it. */
static void
jump(double seconds)
{
	fakeclock_jump(seconds);
	bench.clock.suspect = true;
	bench_run(0);
}

/* --- clocks --------------------------------------------------------------- */

START_TEST(clocks_stand_still_and_then_are_right_again)
{
	expect(SUSPEND, DONE);
	bench_wait(10);
	expect("{'cmd':'now'}",
	    "{'result':{'now':3800000000.000000,'monotonic':1000.000000000}}");
	expect("{'cmd':'update'}",
	    "{'result':{'now':3800000000.000000,'monotonic':1000.000000000}}");
	resume();
	expect("{'cmd':'now'}",
	    "{'result':{'now':3800000010.000000,'monotonic':1010.000000000}}");
}
END_TEST

START_TEST(both_verbs_are_idempotent)
{
	resume();
	expect(TIMER("'after':2"), DONE);
	expect(SUSPEND, DONE);
	bench_wait(10);
	expect(SUSPEND, DONE);
	bench_wait(10);
	resume();
	bench_run(1);
	resume();
	expect_events("");
	bench_run(1);
	expect_events("t.");
}
END_TEST

START_TEST(event_has_the_time_of_the_sessions_clock)
{
	expect(TIMER("'after':100"), DONE);
	expect(SUSPEND, DONE);
	bench_wait(10);
	expect("{'cmd':'feed','watcher':'t','revents':1}", DONE);
	resume();
	ck_assert_str_eq(bench_events(),
	    "{'event':'timer','watcher':'t','revents':1,'seq':1,"
	    "'time':3800000000.000000}");
}
END_TEST

/* --- timers --------------------------------------------------------------- */

START_TEST(timer_goes_on_with_what_remained)
{
	expect(TIMER("'after':10"), DONE);
	bench_run(4);
	pause_for(1000);
	bench_run(5.5);
	expect_events("");
	bench_run(0.5);
	expect_events("t.");
}
END_TEST

START_TEST(remaining_stands_still)
{
	expect(TIMER("'after':10"), DONE);
	expect(SUSPEND, DONE);
	for (int i = 0; i < 3; i++) {
		expect(GET("t"),
		    "{'result':{'type':'timer','watcher':'t','active':true,"
		    "'priority':0,'remaining':10.000000000,'repeat':0}}");
		bench_wait(8);
	}
	resume();
	bench_wait(1);
	expect(GET("t"),
	    "{'result':{'type':'timer','watcher':'t','active':true,"
	    "'priority':0,'remaining':9.000000000,'repeat':0}}");
}
END_TEST

START_TEST(repeating_one_does_not_count_the_pause)
{
	expect(TIMER("'after':1,'repeat':1"), DONE);
	bench_run(1.5);
	expect_events("t");
	pause_for(1000);
	bench_run(0.25);
	expect_events("");
	bench_run(0.25);
	expect_events("t");
}
END_TEST

START_TEST(pending_one_counts_up_to_the_pause_and_on_after_it)
{
	expect(TIMER("'after':1,'repeat':1"), DONE);
	bench_run(1);
	bench_wait(2.5);
	expect(SUSPEND, DONE);
	bench_wait(1000);
	expect(GET("t"),
	    "{'result':{'type':'timer','watcher':'t','active':true,"
	    "'priority':0,'pending':{'revents':256,'overrun':2},"
	    "'remaining':0.499999999,'repeat':1}}");
	resume();
	bench_wait(3);
	expect_events("t+5");
}
END_TEST

START_TEST(timer_that_was_due_comes_after_the_pause)
{
	expect(TIMER("'after':1"), DONE);
	bench_wait(1);
	pause_for(5);
	bench_run(0);
	expect_events("t.");
}
END_TEST

START_TEST(timer_started_in_the_pause_counts_from_its_end)
{
	expect(SUSPEND, DONE);
	bench_run(10);
	expect(TIMER("'after':2"), DONE);
	expect("{'cmd':'watch','type':'timer','watcher':'at','at':1003}", DONE);
	expect("{'cmd':'watch','type':'timer','watcher':'0','after':0}", DONE);
	bench_run(10);
	expect_events("");
	resume();
	bench_run(0);
	expect_events("0.");
	bench_run(1.5);
	expect_events("");
	bench_run(0.5);
	expect_events("t.");
	bench_run(1);
	expect_events("at.");
}
END_TEST

START_TEST(absolute_one_started_after_a_pause_is_by_the_clock)
{
	pause_for(10);
	expect("{'cmd':'watch','type':'timer','watcher':'at','at':1012,"
	       "'start':false}",
	    DONE);
	expect(GET("at"),
	    "{'result':{'type':'timer','watcher':'at','active':false,"
	    "'priority':0,'remaining':1.999999998,'repeat':0}}");
	expect("{'cmd':'start','watcher':'at'}", DONE);
	bench_run(1.5);
	expect_events("");
	bench_run(0.5);
	expect_events("at.");
}
END_TEST

START_TEST(stop_start_set_and_reset_in_the_pause)
{
	expect(TIMER("'after':10,'repeat':5"), DONE);
	expect(SUSPEND, DONE);
	bench_run(100);
	expect("{'cmd':'stop','watcher':'t'}", DONE);
	bench_run(100);
	expect("{'cmd':'start','watcher':'t'}", DONE);
	expect(GET("t"),
	    "{'result':{'type':'timer','watcher':'t','active':true,"
	    "'priority':0,'remaining':10.000000000,'repeat':5}}");
	expect("{'cmd':'reset','watcher':'t'}", DONE);
	expect("{'cmd':'set','watcher':'t','repeat':2}", DONE);
	resume();
	bench_run(4.5);
	expect_events("");
	bench_run(0.5);
	expect_events("t");
	bench_run(2);
	expect_events("t");
}
END_TEST

START_TEST(unwatched_in_the_pause_is_gone)
{
	expect(TIMER("'after':1"), DONE);
	bench_run(1);
	expect(SUSPEND, DONE);
	expect("{'cmd':'unwatch','watcher':'t'}",
	    "{'result':{'cleared':{'revents':256,'overrun':0}}}");
	expect(TIMER("'after':1"), DONE);
	resume();
	expect_events("");
	bench_run(1);
	expect_events("t.");
}
END_TEST

/* --- times of the wall clock ---------------------------------------------- */

START_TEST(periodic_loses_what_falls_into_the_pause)
{
	expect(PERIODIC("'interval':1"), DONE);
	bench_run(0.5);
	pause_for(10.25);
	expect(GET("p"),
	    "{'result':{'type':'periodic','watcher':'p','active':true,"
	    "'priority':0,'offset':0,'interval':1,'at':3800000011.000000}}");
	bench_run(0.125);
	expect_events("");
	bench_run(0.125);
	expect_events("p");
}
END_TEST

START_TEST(pending_periodic_counts_up_to_the_pause_and_on_after_it)
{
	expect(PERIODIC("'interval':1"), DONE);
	bench_run(1);
	bench_wait(2.25);
	expect(SUSPEND, DONE);
	bench_wait(5.5);
	expect(GET("p"),
	    "{'result':{'type':'periodic','watcher':'p','active':true,"
	    "'priority':0,'pending':{'revents':512,'overrun':2},'offset':0,"
	    "'interval':1,'at':3800000004.000000}}");
	resume();
	bench_wait(0.125);
	expect(GET("p"),
	    "{'result':{'type':'periodic','watcher':'p','active':true,"
	    "'priority':0,'pending':{'revents':512,'overrun':2},'offset':0,"
	    "'interval':1,'at':3800000009.000000}}");
	bench_wait(2);
	expect_events("p+4");
}
END_TEST

START_TEST(slot_that_was_due_comes_after_the_pause)
{
	expect(PERIODIC("'interval':1"), DONE);
	bench_wait(2.25);
	pause_for(5.5);
	expect_events("p+1");
	bench_run(0.5);
	expect_events("p");
}
END_TEST

/* As libev's ev_resume: it would never come again. */
START_TEST(single_time_in_the_pause_comes_after_it)
{
	expect(PERIODIC("'offset':3800000005"), DONE);
	pause_for(10);
	bench_run(0);
	expect_events("p.");
}
END_TEST

START_TEST(periodic_started_in_the_pause)
{
	expect(SUSPEND, DONE);
	bench_run(10.25);
	expect(PERIODIC("'interval':1"), DONE);
	expect(GET("p"),
	    "{'result':{'type':'periodic','watcher':'p','active':true,"
	    "'priority':0,'offset':0,'interval':1,'at':3800000001.000000}}");
	bench_run(10);
	resume();
	bench_run(0.5);
	expect_events("");
	bench_run(0.25);
	expect_events("p");
}
END_TEST

START_TEST(scheduler_loses_what_falls_into_the_pause)
{
	expect("{'cmd':'watch','type':'scheduler','watcher':'s',"
	       "'calendar':'* * * * * *','timezone':'UTC'}",
	    DONE);
	bench_run(1.5);
	expect_events("s");
	pause_for(10);
	bench_run(0.25);
	expect_events("");
	bench_run(0.25);
	expect_events("s");
}
END_TEST

static const double jumps[] = { 3600, 1.5, -1.5, -3600 };

/* Forward and back: what was due is due, what came to be meanwhile is not. */
START_TEST(clock_that_is_set_in_the_pause)
{
	expect(PERIODIC("'interval':1"), DONE);
	bench_run(1);
	bench_wait(1.25);
	expect(SUSPEND, DONE);
	bench_run(2);
	jump(jumps[_i]);
	bench_run(2);
	ck_assert_str_eq(bench_say("{'cmd':'clear','watcher':'p'}"),
	    "{'result':{'cleared':{'revents':512,'overrun':1}}}");
	bench_run(2);
	jump(jumps[_i]);
	expect("{'cmd':'clear','watcher':'p'}", DONE);
	expect("{'cmd':'now'}",
	    "{'result':{'now':3800000002.250000,'monotonic':1002.250000001}}");
	resume();
	expect_events("");
	bench_run(0.25);
	expect_events("");
	bench_run(0.5);
	expect_events("p");
}
END_TEST

START_TEST(jump_in_the_pause_is_told_after_it)
{
	expect(PERIODIC("'interval':1000000000,'jumps':true"), DONE);
	expect(SUSPEND, DONE);
	jump(3600);
	expect_events("");
	jump(3600);
	expect_events("");
	resume();
	ck_assert_str_eq(bench_events(),
	    "{'event':'periodic','watcher':'p','revents':512,'seq':1,"
	    "'time':3800000000.000000,'at':4000000000.000000,'jump':true,"
	    "'overrun':1}");
}
END_TEST

static void
watch_periodics(int n)
{
	char line[200];

	for (int i = 0; i < n; i++) {
		snprintf(line, sizeof(line),
		    "{'cmd':'watch','type':'periodic','watcher':%d,"
		    "'interval':1,'hold':true}",
		    i);
		expect(line, DONE);
	}
}

/* The reply comes when all have heard of it. */
START_TEST(many_periodics_hear_of_it_some_at_a_time)
{
	watch_periodics(2500);
	bench_run(1.5);
	bench_run(0);
	bench_run(0);
	batch_write_events(bench.session, &bench.out, SIZE_MAX);
	bench_take_text();
	ck_assert_uint_eq(bench.session->seq, 2500);
	expect(SUSPEND, DONE);
	bench_run(10);
	ck_assert_str_eq(bench_say(RESUME), "");
	for (int i = 0; i < 3; i++) {
		ck_assert_str_eq(bench_resume(), "");
		expect_events("");
		bench_run(0.3);
	}
	ck_assert_str_eq(bench_resume(), DONE);
	/* One slot was after the resume, at 12: for the first and the last. */
	bench_run(0);
	bench_run(0);
	bench_run(0);
	for (int i = 0; i < 2500; i += 833) {
		char line[100], name[20];

		snprintf(name, sizeof(name), "%d", i);
		snprintf(line, sizeof(line), "{'cmd':'clear','watcher':%d}", i);
		expect(line,
		    "{'result':{'cleared':{'revents':512,'overrun':0}}}");
	}
}
END_TEST

START_TEST(jump_that_is_not_told_yet_when_the_pause_begins)
{
	watch_periodics(2500);
	bench_run(0.5);
	fakeclock_jump(3600);
	bench.clock.suspect = true;
	bench_run(0);
	ck_assert(!alarm_group_is_settled(&bench.session->host.alarms));
	expect(SUSPEND, DONE);
	bench_run(10);
	ck_assert_str_eq(bench_say(RESUME), "");
	for (int i = 0; i < 4; i++)
		bench_run(0);
	ck_assert_str_eq(bench_resume(), DONE);
	expect_events("");
	bench_run(0.5);
	for (int i = 0; i < 3; i++)
		bench_run(0);
	batch_write_events(bench.session, &bench.out, SIZE_MAX);
	ck_assert_uint_eq(bench.session->seq, 2500);
	ck_assert(strstr(bench_take_text(), "overrun") == NULL);
}
END_TEST

/* --- what is written, and when -------------------------------------------- */

START_TEST(what_fires_merges_and_is_written_after_the_pause)
{
	watch("a");
	watch("b", .priority = 1);
	expect(SUSPEND, DONE);
	for (int i = 0; i < 3; i++) {
		expect("{'cmd':'send','watcher':'a'}",
		    "{'result':{'sent':true}}");
		expect("{'cmd':'feed','watcher':'b','revents':1}", DONE);
		bench_run(1);
		expect_events("");
	}
	ck_assert(!batch_has_work(bench.session));
	expect("{'cmd':'clear','watcher':'b'}",
	    "{'result':{'cleared':{'revents':1,'overrun':2}}}");
	expect("{'cmd':'feed','watcher':'b','revents':1}", DONE);
	resume();
	expect_events("b a+2");
}
END_TEST

START_TEST(ack_in_the_pause)
{
	watch("a", .hold = true);
	expect("{'cmd':'send','watcher':'a'}", "{'result':{'sent':true}}");
	expect_events("a");
	expect("{'cmd':'send','watcher':'a'}", "{'result':{'sent':true}}");
	expect(SUSPEND, DONE);
	expect("{'cmd':'ack'}", "{'result':{'freed':1}}");
	expect_events("");
	resume();
	expect_events("a");
}
END_TEST

/* What the batch had before the pause is written after it, and before others. */
START_TEST(batch_that_was_begun_goes_on)
{
	watch("a");
	watch("b");
	watch("high", .priority = 2);
	watch("early", .priority = 1);
	expect("{'cmd':'feed','watcher':'a','revents':1}", DONE);
	expect("{'cmd':'feed','watcher':'b','revents':1}", DONE);
	expect("{'cmd':'feed','watcher':'early','revents':1}", DONE);
	ck_assert_str_eq(bench_summary_up_to(1), "early");
	expect(SUSPEND, DONE);
	expect("{'cmd':'feed','watcher':'high','revents':1}", DONE);
	expect_events("");
	resume();
	expect_events("a b high");
}
END_TEST

START_TEST(poll_in_the_pause_has_nothing)
{
	watch("a");
	expect(SUSPEND, DONE);
	expect("{'cmd':'send','watcher':'a'}", "{'result':{'sent':true}}");
	expect("{'cmd':'poll','id':1}", "{'id':1,'result':{'seq':0}}");
	resume();
	expect_events("a");
}
END_TEST

START_TEST(idle_does_not_fire_in_the_pause)
{
	expect("{'cmd':'watch','type':'idle','watcher':'i'}", DONE);
	expect(SUSPEND, DONE);
	for (int i = 0; i < 3; i++) {
		bench_run(1);
		expect_events("");
	}
	ck_assert(!batch_has_work(bench.session));
	resume();
	bench_run(0);
	expect_events("i");
}
END_TEST

START_TEST(loop_tells)
{
	expect(SUSPEND, DONE);
	ck_assert_ptr_nonnull(strstr(bench_say("{'cmd':'loop'}"),
	    "'suspended':true}"));
	resume();
	ck_assert_ptr_nonnull(strstr(bench_say("{'cmd':'loop'}"),
	    "'suspended':false}"));
}
END_TEST

/* --- the law -------------------------------------------------------------- */

/* Milliseconds: of the clock, and for which the session was not suspended. */
static int64_t real_ms, session_ms;
static uint64_t slots; /* of a periodic, that did not fall into a pause */
static bool suspended;

#define PERIOD_MS 700
#define SLOT_MS	  900

static void
pass(int64_t ms)
{
	int64_t offset = llround(BENCH_NOW * 1000) % SLOT_MS;
	int64_t before = (real_ms + offset) / SLOT_MS;

	real_ms += ms;
	if (!suspended) {
		session_ms += ms;
		slots += (uint64_t)((real_ms + offset) / SLOT_MS - before);
	}
	fakeclock_advance((double)ms / 1000);
	wallclock_update(&bench.clock);
}

static void
take_back(const char *name, uint64_t *ticks)
{
	struct cleared cleared;

	watcher_clear(bench_find(name), &cleared);
	if (cleared.pending)
		*ticks += 1 + cleared.overrun;
}

/* Half a millisecond off the times, so that none is at the edge. */
START_TEST(nothing_is_lost_or_counted_twice)
{
	uint64_t timer = 0, periodic = 0;

	fakeclock_advance(0.0005);
	wallclock_update(&bench.clock);
	expect(TIMER("'after':0.6996,'repeat':0.7"), DONE);
	expect(PERIODIC("'interval':0.9"), DONE);
	for (int i = 0; i < 20000; i++) {
		switch (unit_below(7)) {
		case 0:
			if (suspended)
				resume();
			else
				expect(SUSPEND, DONE);
			suspended = !suspended;
			break;
		case 1:
			pass((int64_t)unit_below(3000));
			break;
		case 2:
			pass((int64_t)unit_below(300));
			ev_run(bench.loop, EVRUN_NOWAIT);
			break;
		case 3:
			bench.ticks = 0;
			bench_say(unit_below(2) ? GET("t") : GET("p"));
			break;
		case 4:
			take_back("t", &timer);
			break;
		case 5:
			take_back("p", &periodic);
			break;
		default:
			for (const char *at = bench_summary(); *at != '\0';) {
				char name;
				int n = 0;
				unsigned long overrun = 0;

				ck_assert(!suspended);
				sscanf(at, "%c%n+%lu%n", &name, &n, &overrun,
				    &n);
				*(name == 't' ? &timer : &periodic) += 1 +
				    overrun;
				at += n + (at[n] == ' ');
			}
		}
	}
	take_back("t", &timer);
	take_back("p", &periodic);
	ck_assert_uint_eq(timer, (uint64_t)(session_ms / PERIOD_MS));
	ck_assert_uint_eq(periodic, slots);
	ck_assert_uint_gt(timer, 1000);
	ck_assert_uint_gt(periodic, 1000);
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("pause", bench_setup, bench_teardown);

	tcase_add_test(cases, clocks_stand_still_and_then_are_right_again);
	tcase_add_test(cases, both_verbs_are_idempotent);
	tcase_add_test(cases, event_has_the_time_of_the_sessions_clock);
	tcase_add_test(cases, timer_goes_on_with_what_remained);
	tcase_add_test(cases, remaining_stands_still);
	tcase_add_test(cases, repeating_one_does_not_count_the_pause);
	tcase_add_test(cases,
	    pending_one_counts_up_to_the_pause_and_on_after_it);
	tcase_add_test(cases, timer_that_was_due_comes_after_the_pause);
	tcase_add_test(cases, timer_started_in_the_pause_counts_from_its_end);
	tcase_add_test(cases,
	    absolute_one_started_after_a_pause_is_by_the_clock);
	tcase_add_test(cases, stop_start_set_and_reset_in_the_pause);
	tcase_add_test(cases, unwatched_in_the_pause_is_gone);
	tcase_add_test(cases, periodic_loses_what_falls_into_the_pause);
	tcase_add_test(cases,
	    pending_periodic_counts_up_to_the_pause_and_on_after_it);
	tcase_add_test(cases, slot_that_was_due_comes_after_the_pause);
	tcase_add_test(cases, single_time_in_the_pause_comes_after_it);
	tcase_add_test(cases, periodic_started_in_the_pause);
	tcase_add_test(cases, scheduler_loses_what_falls_into_the_pause);
	tcase_add_loop_test(cases, clock_that_is_set_in_the_pause, 0, 4);
	tcase_add_test(cases, jump_in_the_pause_is_told_after_it);
	tcase_add_test(cases, many_periodics_hear_of_it_some_at_a_time);
	tcase_add_test(cases, jump_that_is_not_told_yet_when_the_pause_begins);
	tcase_add_test(cases, what_fires_merges_and_is_written_after_the_pause);
	tcase_add_test(cases, ack_in_the_pause);
	tcase_add_test(cases, batch_that_was_begun_goes_on);
	tcase_add_test(cases, poll_in_the_pause_has_nothing);
	tcase_add_test(cases, idle_does_not_fire_in_the_pause);
	tcase_add_test(cases, loop_tells);
	tcase_add_test(cases, nothing_is_lost_or_counted_twice);
	return unit_run(cases);
}
