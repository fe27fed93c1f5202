#include "config.h"

#include "signals.h"

#include <ev.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

/* The rounds in which watches are told. */

#define WATCHES 5

static struct ev_loop *loop;
static struct signals signals;
static struct signals_set *set;
static struct signal_watch watches[WATCHES];
static uint64_t told[WATCHES]; /* times */
static int calls;
static void (*on_told)(int i);

static void
on_signal(struct signal_watch *watch, uint64_t times)
{
	int i = (int)(watch - watches);

	told[i] += times;
	calls++;
	if (on_told != NULL)
		on_told(i);
}

static void
add(int i, int signum, bool fed)
{
	watches[i] = (struct signal_watch){ .signum = signum,
		.fed = fed,
		.on_signal = on_signal };
	ck_assert_int_eq(signals_add(&signals, set, &watches[i]), 0);
}

static void
del(int i)
{
	signals_del(&signals, set, &watches[i]);
}

static void
setup(void)
{
	loop = ev_loop_new(EVFLAG_NOENV);
	ck_assert_int_eq(signals_init(&signals, loop), 0);
	set = signals_set_new();
	memset(told, 0, sizeof(told));
	calls = 0;
	on_told = NULL;
}

static void
teardown(void)
{
	free(set);
	signals_fini(&signals);
	ev_loop_destroy(loop);
}

START_TEST(watches_are_told)
{
	add(0, SIGUSR1, false);
	add(1, SIGUSR1, false);
	add(2, SIGUSR2, false);
	add(3, SIGUSR1, true);
	raise(SIGUSR1);
	signals_gather(&signals);
	ck_assert_uint_eq(told[0], 1);
	ck_assert_uint_eq(told[1], 1);
	ck_assert_uint_eq(told[2], 0);
	ck_assert_uint_eq(told[3], 0);
	signals_gather(&signals);
	ck_assert_int_eq(calls, 2);
}
END_TEST

START_TEST(loop_tells_them)
{
	add(0, SIGUSR1, false);
	raise(SIGUSR1);
	ev_run(loop, EVRUN_NOWAIT);
	ck_assert_uint_eq(told[0], 1);
}
END_TEST

START_TEST(real_time_signals_are_counted)
{
	add(0, SIGRTMIN, false);
	for (int i = 0; i < 200; i++)
		raise(SIGRTMIN);
	signals_gather(&signals);
	ck_assert_uint_eq(told[0], 200);
	ck_assert_int_lt(calls, 200);
}
END_TEST

START_TEST(signal_stays_had)
{
	add(0, SIGUSR1, false);
	del(0);
	raise(SIGUSR1);
	signals_gather(&signals);
	add(0, SIGUSR1, false);
	signals_gather(&signals);
	ck_assert_int_eq(calls, 0);
}
END_TEST

static void
delete_others(int i)
{
	for (int other = 0; other < 3; other++)
		if (other != i)
			del(other);
	on_told = NULL;
}

START_TEST(watches_may_go_while_they_are_told)
{
	for (int i = 0; i < 3; i++)
		add(i, SIGUSR1, false);
	on_told = delete_others;
	raise(SIGUSR1);
	signals_gather(&signals);
	ck_assert_int_eq(calls, 1);
}
END_TEST

static void
add_more(int i)
{
	(void)i;
	on_told = NULL;
	add(3, SIGUSR1, false);
}

START_TEST(watches_that_come_while_others_are_told_are_not)
{
	add(0, SIGUSR1, false);
	add(1, SIGUSR1, false);
	on_told = add_more;
	raise(SIGUSR1);
	signals_gather(&signals);
	ck_assert_uint_eq(told[3], 0);
	raise(SIGUSR1);
	signals_gather(&signals);
	ck_assert_uint_eq(told[3], 1);
	ck_assert_uint_eq(told[0], 2);
}
END_TEST

START_TEST(feeding_goes_on_where_it_was)
{
	for (int i = 0; i < WATCHES; i++)
		add(i, SIGTERM, true);
	signals_feed(set, SIGTERM);
	ck_assert(!signals_feed_some(set, SIGTERM, 2));
	ck_assert_int_eq(calls, 2);
	/* The next one goes; a new one is not of this round. */
	del(2);
	add(2, SIGTERM, true);
	ck_assert(signals_feed_some(set, SIGTERM, 10));
	ck_assert_int_eq(calls, 4);
	ck_assert_uint_eq(told[2], 0);
	for (int i = 0; i < WATCHES; i++)
		ck_assert_uint_eq(told[i], i == 2 ? 0 : 1);
}
END_TEST

START_TEST(feeding_is_of_the_number)
{
	add(0, SIGTERM, true);
	add(1, SIGUSR1, false);
	signals_feed(set, SIGUSR1);
	ck_assert(signals_feed_some(set, SIGUSR1, 10));
	ck_assert_uint_eq(told[0], 0);
	ck_assert_uint_eq(told[1], 1);
	signals_gather(&signals);
	ck_assert_int_eq(calls, 1);
	signals_feed(set, SIGHUP);
	ck_assert(signals_feed_some(set, SIGHUP, 10));
	ck_assert_int_eq(calls, 1);
}
END_TEST

START_TEST(what_evd_needs_is_refused)
{
	static const int refused[] = { SIGTERM, SIGINT, SIGCHLD, SIGKILL,
		SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS,
		SIGABRT, SIGPIPE, SIGQUIT };

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		ck_assert_ptr_nonnull(signals_refuse(refused[i]));
	ck_assert_ptr_null(signals_refuse(SIGHUP));
	ck_assert_ptr_null(signals_refuse(SIGUSR1));
	ck_assert_ptr_null(signals_refuse(SIGRTMAX));
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("signals", setup, teardown);

	tcase_add_test(cases, watches_are_told);
	tcase_add_test(cases, loop_tells_them);
	tcase_add_test(cases, real_time_signals_are_counted);
	tcase_add_test(cases, signal_stays_had);
	tcase_add_test(cases, watches_may_go_while_they_are_told);
	tcase_add_test(cases, watches_that_come_while_others_are_told_are_not);
	tcase_add_test(cases, feeding_goes_on_where_it_was);
	tcase_add_test(cases, feeding_is_of_the_number);
	tcase_add_test(cases, what_evd_needs_is_refused);
	return unit_run(cases);
}
