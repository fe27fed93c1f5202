#include "config.h"

#include "signame.h"

#include <signal.h>
#include <string.h>

#include "unit.h"

static int
parse(const char *name)
{
	return signame_parse(name, strlen(name));
}

START_TEST(names_with_and_without_sig)
{
	ck_assert_int_eq(parse("HUP"), SIGHUP);
	ck_assert_int_eq(parse("SIGHUP"), SIGHUP);
	ck_assert_int_eq(parse("USR2"), SIGUSR2);
	ck_assert_int_eq(parse("SIGSTKFLT"), SIGSTKFLT);
	ck_assert_int_eq(parse("SYS"), SIGSYS);
}
END_TEST

START_TEST(every_standard_signal_has_a_name)
{
	char name[40];

	for (int i = 1; i <= 31; i++) {
		snprintf(name, sizeof(name), "SIG%s", sigabbrev_np(i));
		ck_assert_int_eq(parse(name), i);
		ck_assert(signame_is_signal(i));
	}
}
END_TEST

START_TEST(names_that_mean_the_same)
{
	ck_assert_int_eq(parse("IOT"), SIGABRT);
	ck_assert_int_eq(parse("CLD"), SIGCHLD);
	ck_assert_int_eq(parse("IO"), SIGIO);
	ck_assert_int_eq(parse("SIGPOLL"), SIGIO);
}
END_TEST

START_TEST(real_time_signals)
{
	ck_assert_int_eq(parse("RTMIN"), SIGRTMIN);
	ck_assert_int_eq(parse("RTMAX"), SIGRTMAX);
	ck_assert_int_eq(parse("SIGRTMIN+1"), SIGRTMIN + 1);
	ck_assert_int_eq(parse("RTMAX-30"), SIGRTMAX - 30);
	ck_assert_int_eq(parse("RTMIN+30"), SIGRTMIN + 30);
	ck_assert_int_eq(parse("RTMIN+31"), 0);
	ck_assert_int_eq(parse("RTMAX-31"), 0);
}
END_TEST

START_TEST(no_signals)
{
	static const char *const names[] = { "", "SIG", "usr1", "Hup", "HUPX",
		"HU", "1", "RTMIN+", "RTMIN-1", "RTMAX+1", "RTMIN+1x",
		"RTMIN+100", "RTMINX", "RT", "SIGSIGHUP", "EXIT", NULL };

	for (size_t i = 0; names[i] != NULL; i++)
		ck_assert_msg(parse(names[i]) == 0, "%s", names[i]);
	ck_assert_int_eq(signame_parse("HUP\0", 4), 0);
}
END_TEST

START_TEST(numbers)
{
	ck_assert(!signame_is_signal(0));
	ck_assert(!signame_is_signal(-1));
	ck_assert(!signame_is_signal(32));
	ck_assert(!signame_is_signal(33));
	ck_assert(signame_is_signal(34));
	ck_assert(signame_is_signal(64));
	ck_assert(!signame_is_signal(65));
	ck_assert(!signame_is_signal(INT64_C(4294967297)));
}
END_TEST

static void
nothing(void)
{
}

int
main(void)
{
	TCase *cases = unit_cases("signame", nothing, nothing);

	tcase_add_test(cases, names_with_and_without_sig);
	tcase_add_test(cases, every_standard_signal_has_a_name);
	tcase_add_test(cases, names_that_mean_the_same);
	tcase_add_test(cases, real_time_signals);
	tcase_add_test(cases, no_signals);
	tcase_add_test(cases, numbers);
	return unit_run(cases);
}
