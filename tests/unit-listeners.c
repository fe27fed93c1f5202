#include "config.h"

#include "listeners.h"

#include "unit.h"

static struct listeners all;

/* A listener with a letter, and what it does when it is told. */
static struct one {
	struct listener listener;
	char letter;
	struct one *adds, *removes;
} ones[4];

static char told[64];

static void
on_told(struct listener *listener, uint64_t times)
{
	struct one *one = (struct one *)listener;

	for (; times > 0; times--)
		sprintf(told + strlen(told), "%c", one->letter);
	if (one->adds != NULL)
		listeners_add(&all, &one->adds->listener);
	if (one->removes != NULL)
		listeners_del(&all, &one->removes->listener);
	one->adds = one->removes = NULL;
}

static void
setup(void)
{
	listeners_init(&all);
	memset(ones, 0, sizeof(ones));
	for (int i = 0; i < 4; i++) {
		ones[i].letter = (char)('a' + i);
		ones[i].listener.on_told = on_told;
		if (i < 3)
			listeners_add(&all, &ones[i].listener);
	}
	told[0] = '\0';
}

static void
teardown(void)
{
}

#define expect_told(n, left, text)                                    \
	do {                                                          \
		told[0] = '\0';                                       \
		ck_assert_uint_eq(listeners_tell(&all, (n)), (left)); \
		ck_assert_str_eq(told, (text));                       \
	} while (0)

START_TEST(nothing_has_happened)
{
	ck_assert(listeners_are_told(&all));
	expect_told(9, 9, "");
}
END_TEST

START_TEST(all_are_told_once_in_order)
{
	listeners_call(&all, 1);
	ck_assert(!listeners_are_told(&all));
	expect_told(9, 6, "abc");
	ck_assert(listeners_are_told(&all));
	expect_told(9, 9, "");
}
END_TEST

START_TEST(some_at_a_time)
{
	listeners_call(&all, 1);
	expect_told(2, 0, "ab");
	ck_assert(!listeners_are_told(&all));
	expect_told(2, 1, "c");
	ck_assert(listeners_are_told(&all));
}
END_TEST

START_TEST(calls_merge_until_the_next_round)
{
	listeners_call(&all, 2);
	expect_told(1, 0, "aa");
	listeners_call(&all, 1);
	listeners_call(&all, 2);
	expect_told(9, 4, "bbccaaabbbccc");
}
END_TEST

START_TEST(who_comes_later_is_not_told)
{
	listeners_call(&all, 1);
	listeners_add(&all, &ones[3].listener);
	expect_told(9, 5, "abc");
	listeners_call(&all, 1);
	expect_told(9, 5, "abcd");
}
END_TEST

START_TEST(who_comes_between_two_calls_is_told_of_the_second)
{
	listeners_call(&all, 1);
	listeners_add(&all, &ones[3].listener);
	listeners_call(&all, 2);
	expect_told(9, 5, "aaabbbcccdd");
}
END_TEST

START_TEST(who_comes_between_two_calls_while_others_are_told)
{
	listeners_call(&all, 1);
	expect_told(1, 0, "a");
	listeners_call(&all, 1);
	listeners_add(&all, &ones[3].listener);
	listeners_call(&all, 1);
	expect_told(9, 2, "bcaabbccd");
	ck_assert(listeners_are_told(&all));
}
END_TEST

START_TEST(who_comes_while_others_are_told_is_not_told)
{
	listeners_call(&all, 1);
	ones[1].adds = &ones[3];
	expect_told(9, 5, "abc");
}
END_TEST

START_TEST(who_goes_is_not_told)
{
	listeners_call(&all, 1);
	ones[0].removes = &ones[1];
	expect_told(9, 7, "ac");
	listeners_call(&all, 1);
	ones[0].removes = &ones[0];
	expect_told(9, 7, "ac");
	listeners_call(&all, 1);
	expect_told(9, 8, "c");
}
END_TEST

START_TEST(nobody_is_there)
{
	for (int i = 0; i < 3; i++)
		listeners_del(&all, &ones[i].listener);
	listeners_call(&all, 1);
	expect_told(9, 9, "");
	ck_assert(listeners_are_told(&all));
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("listeners", setup, teardown);

	tcase_add_test(cases, nothing_has_happened);
	tcase_add_test(cases, all_are_told_once_in_order);
	tcase_add_test(cases, some_at_a_time);
	tcase_add_test(cases, calls_merge_until_the_next_round);
	tcase_add_test(cases, who_comes_later_is_not_told);
	tcase_add_test(cases,
	    who_comes_between_two_calls_is_told_of_the_second);
	tcase_add_test(cases,
	    who_comes_between_two_calls_while_others_are_told);
	tcase_add_test(cases, who_comes_while_others_are_told_is_not_told);
	tcase_add_test(cases, who_goes_is_not_told);
	tcase_add_test(cases, nobody_is_there);
	return unit_run(cases);
}
