#include "config.h"

#include <time.h>

#include "bench.h"

/* The wall clock shows 3800000000 at first: 2090-06-01, 11:33:20 UTC. */
#define SCHEDULER(members)                                            \
	"{'cmd':'watch','type':'scheduler','watcher':'s','timezone':" \
	"'Europe/Berlin','calendar':" members "}"
#define YEAR_S 31536000

/* Somebody sets the wall clock, and the kernel tells libev. */
static void
jump(double seconds)
{
	wallclock_update(&bench.clock);
	fakeclock_jump(seconds);
	bench.clock.suspect = true;
	ev_run(bench.loop, EVRUN_NOWAIT);
}

/* Check can't measure them. */
static void
forget_years(int n)
{
	fakeclock_advance(-n * YEAR_S);
}

START_TEST(fires_at_its_times)
{
	expect(SCHEDULER("'* * * * *'"), DONE);
	bench_run(39.5);
	expect_events("");
	bench_run(0.5);
	ck_assert_str_eq(bench_events(),
	    "{'event':'scheduler','watcher':'s','revents':512,'seq':1,"
	    "'time':3800000040.000000,'at':3800000100.000000}");
	bench.seq = 1;
	bench_run(59.5);
	expect_events("");
	bench_run(0.5);
	expect_events("s");
}
END_TEST

START_TEST(get_says_which_times)
{
	expect(SCHEDULER("'30 4 * * *'"), DONE);
	expect("{'cmd':'get','watcher':'s','next':2}",
	    "{'result':{'type':'scheduler','watcher':'s','active':true,"
	    "'priority':0,'calendar':'30 4 * * *','timezone':"
	    "'Europe/Berlin','at':3800053800.000000,"
	    "'next':[3800053800.000000,3800140200.000000]}}");
}
END_TEST

/* Nobody looks for a year of seconds: that is one number, at once. */
START_TEST(times_that_nobody_reads_are_counted)
{
	clock_t begin = clock();

	expect(SCHEDULER("'* * * * * *'"), DONE);
	bench_run(1);
	bench_wait(YEAR_S);
	expect_events("s+31536000");
	/* It goes on from there. */
	bench_run(1);
	expect_events("s");
	ck_assert_int_lt((clock() - begin) / CLOCKS_PER_SEC, 5);
	forget_years(1);
}
END_TEST

/* 365 days with 23, 24 or 25 hours, and with one half past two each. */
START_TEST(counts_know_of_summer_time)
{
	expect(SCHEDULER("'30 2 * * *'"), DONE);
	bench_wait(YEAR_S);
	expect("{'cmd':'stop','watcher':'s'}",
	    "{'result':{'cleared':{'revents':512,'overrun':364}}}");
	expect("{'cmd':'unwatch','watcher':'s'}", DONE);
	expect(SCHEDULER("'@hourly'"), DONE);
	bench_wait(YEAR_S);
	expect("{'cmd':'stop','watcher':'s'}",
	    "{'result':{'cleared':{'revents':512,'overrun':8759}}}");
	forget_years(2);
}
END_TEST

START_TEST(times_that_the_clock_is_set_over_are_skipped)
{
	expect(SCHEDULER("'* * * * *'"), DONE);
	jump(YEAR_S);
	expect_events("");
	bench_run(40);
	expect_events("s");
	jump(-2 * YEAR_S);
	expect_events("");
	bench_run(60);
	expect_events("s");
}
END_TEST

START_TEST(what_was_due_before_the_jump_is_counted)
{
	expect(SCHEDULER("'* * * * * *'"), DONE);
	bench_run(1);
	bench_wait(10);
	jump(YEAR_S);
	bench_wait(5);
	expect_events("s+15");
}
END_TEST

/* That fire when the clock was set. */
static void
watch_jumps(int n)
{
	char text[128];

	for (int i = 0; i < n; i++) {
		snprintf(text, sizeof(text),
		    "{'cmd':'watch','type':'periodic','watcher':%d,"
		    "'interval':1000000000,'jumps':true}",
		    i);
		expect(text, DONE);
	}
}

/* Each hears of it in its turn, and one that is asked for at once. */
START_TEST(jump_is_told_to_some_at_a_time)
{
	watch_jumps(2500);
	jump(3600);
	batch_write_events(bench.session, &bench.out, SIZE_MAX);
	ck_assert_uint_eq(bench.session->seq, 1000);
	bench_take_text();
	expect("{'cmd':'get','watcher':2499}",
	    "{'result':{'type':'periodic','watcher':2499,'active':true,"
	    "'priority':0,'pending':{'revents':512,'overrun':0},'offset':0,"
	    "'interval':1000000000,'jumps':true,'at':4000000000.000000}}");
	expect("{'cmd':'unwatch','watcher':2498}",
	    "{'result':{'cleared':{'revents':512,'overrun':0}}}");
	bench_run(0);
	batch_write_events(bench.session, &bench.out, SIZE_MAX);
	ck_assert_uint_eq(bench.session->seq, 2001);
	bench_run(0);
	batch_write_events(bench.session, &bench.out, SIZE_MAX);
	ck_assert_uint_eq(bench.session->seq, 2499);
	ck_assert(TAILQ_EMPTY(&bench.session->host.alarms.stale));
	bench_run(0);
	ck_assert(!ev_is_active(&bench.alarms.busy));
	bench_take_text();
}
END_TEST

/* By the old clock it is time, but the new one knows better. */
START_TEST(time_of_the_old_clock_is_none)
{
	expect(SCHEDULER("'* * * * *'"), DONE);
	wallclock_update(&bench.clock);
	fakeclock_jump(-3600);
	bench.clock.suspect = true;
	bench_run(39.9);
	expect_events("");
	bench_run(0.1);
	expect_events("s");
	bench_run(59.9);
	expect_events("");
}
END_TEST

/* The same, when its turn to hear of it has not come yet. */
START_TEST(time_of_the_old_clock_is_none_before_it_is_told)
{
	watch_jumps(2500);
	expect(SCHEDULER("'* * * * *'"), DONE);
	bench_run(39.99);
	jump(3590);
	ck_assert(!TAILQ_EMPTY(&bench.session->host.alarms.stale));
	bench_run(0.02);
	ck_assert(!TAILQ_EMPTY(&bench.session->host.alarms.stale));
	bench_run(0);
	expect("{'cmd':'get','watcher':'s'}",
	    "{'result':{'type':'scheduler','watcher':'s','active':true,"
	    "'priority':0,'calendar':'* * * * *','timezone':'Europe/Berlin',"
	    "'at':3800003640.000000}}");
}
END_TEST

/* It is after the jump, though nobody has heard of that yet. */
START_TEST(time_of_the_new_clock_is_due_before_it_is_told)
{
	watch_jumps(2500);
	expect(SCHEDULER("'* * * * *'"), DONE);
	bench_run(39.99);
	jump(3600);
	bench_run(0.02);
	ck_assert(!TAILQ_EMPTY(&bench.session->host.alarms.stale));
	expect("{'cmd':'clear','watcher':'s'}",
	    "{'result':{'cleared':{'revents':512,'overrun':0}}}");
}
END_TEST

START_TEST(texts_are_charged_and_given_back)
{
	const uint64_t *bytes = &bench.session->account.used[LIMIT_BYTES];
	uint64_t before = *bytes;

	expect(SCHEDULER("'@hourly','start':false"), DONE);
	ck_assert_uint_eq(*bytes, before + 3 + 7 + 13);
	expect("{'cmd':'set','watcher':'s','timezone':'UTC'}", DONE);
	ck_assert_uint_eq(*bytes, before + 3 + 7 + 3);
	expect("{'cmd':'set','watcher':'s','calendar':'* * * * *'}", DONE);
	ck_assert_uint_eq(*bytes, before + 3 + 9 + 3);
	bench_say("{'cmd':'set','watcher':'s','timezone':'Nowhere'}");
	bench_say("{'cmd':'set','watcher':'s','calendar':'nonsense'}");
	ck_assert_uint_eq(*bytes, before + 3 + 9 + 3);
	bench_say("{'cmd':'watch','type':'scheduler','watcher':'t',"
		  "'calendar':'@daily','timezone':'Nowhere'}");
	expect("{'cmd':'unwatch','watcher':'s'}", DONE);
	ck_assert_uint_eq(*bytes, before);
	ck_assert(LIST_EMPTY(&bench.zones.named));
}
END_TEST

int
main(void)
{
	TCase *cases = tcase_create("scheduler");

	tcase_add_checked_fixture(cases, bench_setup, bench_teardown);
	tcase_add_test(cases, fires_at_its_times);
	tcase_add_test(cases, get_says_which_times);
	tcase_add_test(cases, times_that_nobody_reads_are_counted);
	tcase_add_test(cases, counts_know_of_summer_time);
	tcase_add_test(cases, times_that_the_clock_is_set_over_are_skipped);
	tcase_add_test(cases, what_was_due_before_the_jump_is_counted);
	tcase_add_test(cases, jump_is_told_to_some_at_a_time);
	tcase_add_test(cases, time_of_the_old_clock_is_none);
	tcase_add_test(cases, time_of_the_old_clock_is_none_before_it_is_told);
	tcase_add_test(cases, time_of_the_new_clock_is_due_before_it_is_told);
	tcase_add_test(cases, texts_are_charged_and_given_back);
	return unit_run(cases);
}
