#include "config.h"

#include <fcntl.h>
#include <unistd.h>

#include "bench.h"

/* What the tests over a socket can't bring about. */

static int fd; /* that evd opens; a terminal, with nothing to read */

static void
setup(void)
{
	bench_setup();
	fd = dup(STDIN_FILENO);
	close(fd);
	expect("{'cmd':'watch','type':'io','watcher':'t','events':'r',"
	       "'path':'/dev/ptmx'}",
	    DONE);
	ck_assert_int_ge(fcntl(fd, F_GETFD), 0);
}

static void
assert_failed(void)
{
	const char *event = bench_events();

	ck_assert_msg(strstr(event, "'revents':-2147483648,") != NULL, "%s",
	    event);
	ck_assert_msg(strstr(event, ",'error':'EBADF','active':false") != NULL,
	    "%s", event);
	ck_assert_msg(strstr(bench_say("{'cmd':'get','watcher':'t'}"),
			  "'active':false") != NULL,
	    "%s", bench.text);
}

START_TEST(what_can_be_polled_no_more_says_so_at_the_ack)
{
	expect("{'cmd':'feed','watcher':'t','revents':1}", DONE);
	expect_events("t");
	close(fd);
	expect("{'cmd':'ack'}", "{'result':{'freed':1}}");
	assert_failed();
	expect("{'cmd':'ack'}", "{'result':{'freed':1}}");
	expect_events("");
}
END_TEST

START_TEST(what_can_be_polled_no_more_says_so_when_an_event_is_taken_back)
{
	expect("{'cmd':'feed','watcher':'t','revents':1}", DONE);
	close(fd);
	expect("{'cmd':'clear','watcher':'t'}",
	    "{'result':{'cleared':{'revents':1,'overrun':0}}}");
	assert_failed();
}
END_TEST

START_TEST(it_can_be_started_again)
{
	expect("{'cmd':'feed','watcher':'t','revents':1}", DONE);
	expect_events("t");
	close(fd);
	expect("{'cmd':'ack'}", "{'result':{'freed':1}}");
	expect("{'cmd':'start','watcher':'t'}",
	    "{'result':{'cleared':{'revents':-2147483648,'overrun':0}}}");
	expect("{'cmd':'feed','watcher':'t','revents':1}", DONE);
	ck_assert_ptr_null(strstr(bench_events(), "error"));
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("io", setup, bench_teardown);

	tcase_add_test(cases, what_can_be_polled_no_more_says_so_at_the_ack);
	tcase_add_test(cases,
	    what_can_be_polled_no_more_says_so_when_an_event_is_taken_back);
	tcase_add_test(cases, it_can_be_started_again);
	return unit_run(cases);
}
