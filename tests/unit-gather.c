#include "config.h"

#include "gather.h"

#include "bench.h"

#define TIMER(name, members) \
	"{'cmd':'watch','type':'timer','watcher':'" name "'," members "}"
#define SEND "{'cmd':'send','watcher':'a'}"
#define SENT "{'result':{'sent':true}}"

static void
setup(void)
{
	bench_setup();
	watch("a");
}

static void
set_intervals(const char *members)
{
	char line[200];

	snprintf(line, sizeof(line), "{'cmd':'loop',%s}", members);
	bench_say(line);
}

static bool
deadline_is_there(void)
{
	return deadline_is_set(&bench.session->gather.deadline);
}

START_TEST(without_an_interval_nothing_waits)
{
	expect(TIMER("t", "'after':1"), DONE);
	bench_run(1);
	expect_events("t.");
	ck_assert(!deadline_is_there());
}
END_TEST

START_TEST(timers_come_in_one_batch)
{
	set_intervals("'timeout_interval':5");
	expect(TIMER("t1", "'after':1"), DONE);
	expect(TIMER("t3", "'after':3"), DONE);
	expect(TIMER("t5", "'after':5,'repeat':0.5,'data':1"), DONE);
	bench_run(1);
	expect_events("");
	ck_assert(!batch_has_work(bench.session));
	bench_run(2);
	bench_run(2);
	expect_events("");
	bench_run(0.5);
	bench_run(0.25);
	expect_events("");
	bench.works = 0;
	bench_run(0.25);
	ck_assert_int_eq(bench.works, 1);
	ck_assert(batch_has_work(bench.session));
	expect_events("t1. t3. t5+2");
	ck_assert_uint_eq(bench.session->batches, 1);
	/* The next one counts from its own first event. */
	bench_run(0.5);
	bench_run(4.75);
	expect_events("");
	bench_run(0.25);
	expect_events("t5+10");
}
END_TEST

START_TEST(other_event_begins_it_at_once_with_all_that_is_there)
{
	set_intervals("'timeout_interval':5");
	expect(TIMER("t", "'after':1"), DONE);
	bench_run(2);
	expect_events("");
	expect(SEND, SENT);
	expect_events("t. a");
	ck_assert(!deadline_is_there());
	expect(SEND, SENT);
	expect_events("a");
}
END_TEST

START_TEST(each_kind_has_its_own)
{
	static const char *const io = "{'cmd':'feed','watcher':'io',"
				      "'revents':1}";

	set_intervals("'timeout_interval':5,'io_interval':2");
	expect("{'cmd':'watch','type':'io','watcher':'io','events':'r',"
	       "'path':'/dev/null','start':false}",
	    DONE);
	expect(TIMER("t", "'after':1"), DONE);
	bench_run(1);
	bench_run(2);
	expect(io, DONE);
	bench_run(1.75);
	expect_events("");
	bench_run(0.25);
	expect_events("t. io.");
	expect("{'cmd':'ack'}", "{'result':{'freed':1}}");
	expect(TIMER("u", "'after':0"), DONE);
	bench_run(0);
	bench_run(4);
	expect(io, DONE);
	bench_run(0.75);
	expect_events("");
	bench_run(0.25);
	expect_events("u. io.");
	expect("{'cmd':'ack'}", "{'result':{'freed':1}}");
	expect(io, DONE);
	bench_run(1.75);
	expect_events("");
	bench_run(0.25);
	expect_events("io.");
}
END_TEST

START_TEST(periodic_and_scheduler_are_timeouts)
{
	set_intervals("'timeout_interval':3");
	expect("{'cmd':'watch','type':'periodic','watcher':'p','interval':1}",
	    DONE);
	expect("{'cmd':'watch','type':'scheduler','watcher':'s',"
	       "'calendar':'* * * * * *','timezone':'UTC'}",
	    DONE);
	for (int i = 0; i < 3; i++) {
		bench_run(1);
		expect_events("");
	}
	bench_run(1);
	expect_events("p+3 s+3");
}
END_TEST

START_TEST(what_is_taken_back_is_not_waited_for)
{
	set_intervals("'timeout_interval':5");
	expect(TIMER("t", "'after':1"), DONE);
	bench_run(1);
	ck_assert(deadline_is_there());
	expect("{'cmd':'clear','watcher':'t'}",
	    "{'result':{'cleared':{'revents':256,'overrun':0}}}");
	ck_assert(!deadline_is_there());
	expect("{'cmd':'reset','watcher':'t'}", DONE);
	bench_run(4);
	expect("{'cmd':'feed','watcher':'t','revents':1}", DONE);
	bench_run(4.5);
	expect_events("");
	bench_run(0.5);
	expect_events("t.");
}
END_TEST

START_TEST(shorter_interval_is_for_what_waits)
{
	set_intervals("'timeout_interval':50");
	expect(TIMER("t", "'after':1"), DONE);
	bench_run(1);
	bench_run(4);
	set_intervals("'timeout_interval':6");
	expect_events("");
	bench_run(2);
	expect_events("t.");
	expect(TIMER("u", "'after':1"), DONE);
	bench_run(1);
	expect_events("");
	set_intervals("'timeout_interval':0");
	expect_events("u.");
}
END_TEST

START_TEST(held_event_waits_from_its_acknowledgement)
{
	set_intervals("'timeout_interval':5");
	expect(TIMER("t", "'after':1,'repeat':1,'hold':true"), DONE);
	bench_run(6);
	bench_run(5);
	expect_events("t+10");
	bench_run(10);
	expect("{'cmd':'ack'}", "{'result':{'freed':1}}");
	expect_events("");
	bench_run(5);
	expect_events("t+14");
}
END_TEST

START_TEST(poll_waits_for_no_interval)
{
	set_intervals("'timeout_interval':5");
	expect(TIMER("t", "'after':1"), DONE);
	bench_run(1);
	expect_events("");
	ck_assert_str_eq(bench_say("{'cmd':'poll'}"), "");
	bench_run(0);
	ck_assert_str_eq(bench_resume(), "");
	expect_events("t.");
	ck_assert_str_eq(bench_resume(), "{'result':{'seq':1}}");
	expect(TIMER("u", "'after':1"), DONE);
	bench_run(1);
	expect_events("");
	bench_run(5);
	expect_events("u.");
}
END_TEST

START_TEST(half_closed_session_waits_while_more_may_come)
{
	set_intervals("'timeout_interval':5");
	expect("{'cmd':'stop','watcher':'a'}", DONE);
	expect(TIMER("t", "'after':1"), DONE);
	expect(TIMER("u", "'after':3"), DONE);
	session_end_input(bench.session);
	bench_run(1);
	expect_events("");
	ck_assert(!batch_was_last(bench.session));
	bench_run(1.5);
	expect_events("");
	bench_run(0.5);
	expect_events("t. u.");
	ck_assert(batch_was_last(bench.session));
}
END_TEST

START_TEST(idle_does_not_fire_while_something_waits)
{
	expect("{'cmd':'watch','type':'idle','watcher':'i'}", DONE);
	bench_run(0);
	expect_events("i");
	set_intervals("'timeout_interval':5");
	expect(TIMER("t", "'after':1"), DONE);
	bench_run(1);
	expect("{'cmd':'ack'}", "{'result':{'freed':1}}");
	for (int i = 0; i < 4; i++) {
		bench_run(1);
		expect_events("");
		/* And the loop may sleep. */
		ck_assert(!batch_has_work(bench.session));
	}
	bench_run(1);
	expect_events("t.");
	bench_run(0);
	expect_events("i");
}
END_TEST

START_TEST(check_and_prepare_frame_it)
{
	expect("{'cmd':'watch','type':'check','watcher':'c'}", DONE);
	expect("{'cmd':'watch','type':'prepare','watcher':'p'}", DONE);
	set_intervals("'timeout_interval':5");
	expect(TIMER("t", "'after':1"), DONE);
	bench_run(1);
	expect_events("");
	bench_run(5);
	expect_events("c t. p");
}
END_TEST

START_TEST(interval_stands_still_in_a_pause)
{
	set_intervals("'timeout_interval':5");
	expect(TIMER("t", "'after':1"), DONE);
	bench_run(1);
	bench_run(3);
	expect("{'cmd':'suspend'}", DONE);
	bench_run(100);
	expect("{'cmd':'resume'}", DONE);
	bench_run(1.5);
	expect_events("");
	bench_run(0.5);
	expect_events("t.");
}
END_TEST

/* It takes several writes; what fires meanwhile is gathered for the next. */
START_TEST(batch_that_was_begun_is_written_to_its_end)
{
	set_intervals("'timeout_interval':5");
	expect(TIMER("t", "'after':1"), DONE);
	expect(TIMER("u", "'after':1"), DONE);
	expect(TIMER("v", "'after':7"), DONE);
	bench_run(1);
	bench_run(5);
	ck_assert_str_eq(bench_summary_up_to(1), "t.");
	bench_run(1);
	expect_events("u.");
	bench_run(4.75);
	expect_events("");
	bench_run(0.25);
	expect_events("v.");
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("gather", setup, bench_teardown);

	tcase_add_test(cases, without_an_interval_nothing_waits);
	tcase_add_test(cases, timers_come_in_one_batch);
	tcase_add_test(cases,
	    other_event_begins_it_at_once_with_all_that_is_there);
	tcase_add_test(cases, each_kind_has_its_own);
	tcase_add_test(cases, periodic_and_scheduler_are_timeouts);
	tcase_add_test(cases, what_is_taken_back_is_not_waited_for);
	tcase_add_test(cases, shorter_interval_is_for_what_waits);
	tcase_add_test(cases, held_event_waits_from_its_acknowledgement);
	tcase_add_test(cases, poll_waits_for_no_interval);
	tcase_add_test(cases, half_closed_session_waits_while_more_may_come);
	tcase_add_test(cases, idle_does_not_fire_while_something_waits);
	tcase_add_test(cases, check_and_prepare_frame_it);
	tcase_add_test(cases, interval_stands_still_in_a_pause);
	tcase_add_test(cases, batch_that_was_begun_is_written_to_its_end);
	return unit_run(cases);
}
