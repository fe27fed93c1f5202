#include "config.h"

#include "account.h"

#include <string.h>

#include "unit.h"

#define UID 1000

static struct limits limits;
static struct error error;

static void
setup(void)
{
	limits_init(&limits);
	limits.uid[LIMIT_SESSIONS] = 3;
	limits.uid[LIMIT_WATCHERS] = 10;
	limits.session[LIMIT_WATCHERS] = 6;
	limits.uid[LIMIT_BYTES] = 1000;
	limits.session[LIMIT_BYTES] = 700;
}

static void
teardown(void)
{
	ck_assert_uint_eq(limits.accounts.count, 0);
	limits_fini(&limits);
}

static void
take(struct account *account, enum limit limit, uint64_t n)
{
	ck_assert_int_eq(account_charge(account, limit, n, &error), 0);
}

static void
refused(struct account *account, enum limit limit, uint64_t n,
    const char *message)
{
	error.code = ERROR_NONE;
	ck_assert_int_eq(account_charge(account, limit, n, &error), -1);
	ck_assert_int_eq(error.code, ERROR_LIMIT_EXCEEDED);
	ck_assert_str_eq(error.message, message);
}

START_TEST(a_session_has_its_own_limit_by_default)
{
	struct limits fresh;

	limits_init(&fresh);
	for (int i = 0; i < LIMITS; i++) {
		ck_assert_uint_eq(fresh.uid[i], limit_infos[i].value);
		ck_assert_uint_eq(fresh.session[i], fresh.uid[i]);
	}
	ck_assert_uint_eq(fresh.uid[LIMIT_WATCHERS], 250000);
	limits_fini(&fresh);
}
END_TEST

START_TEST(session_may_have_its_limit_and_no_more)
{
	struct account a;

	account_init(&a, &limits, UID);
	take(&a, LIMIT_WATCHERS, 6);
	refused(&a, LIMIT_WATCHERS, 1,
	    "too many watchers: a session may have 6 (option "
	    "--max-session-watchers)");
	account_fini(&a);
}
END_TEST

START_TEST(sessions_of_a_uid_share_its_limit)
{
	struct account a, b;

	account_init(&a, &limits, UID);
	account_init(&b, &limits, UID);
	take(&a, LIMIT_WATCHERS, 6);
	take(&b, LIMIT_WATCHERS, 4);
	refused(&b, LIMIT_WATCHERS, 1,
	    "too many watchers: all sessions of a uid together may have 10 "
	    "(option --max-watchers)");
	account_fini(&a);
	account_fini(&b);
}
END_TEST

START_TEST(a_refusal_charges_nothing)
{
	struct account a;

	account_init(&a, &limits, UID);
	take(&a, LIMIT_BYTES, 600);
	refused(&a, LIMIT_BYTES, 101,
	    "too many bytes: a session may have 700 (option "
	    "--max-session-bytes)");
	ck_assert_uint_eq(a.used[LIMIT_BYTES], 600);
	take(&a, LIMIT_BYTES, 100);
	account_fini(&a);
}
END_TEST

START_TEST(what_is_given_back_can_be_had_again)
{
	struct account a, b;

	account_init(&a, &limits, UID);
	account_init(&b, &limits, UID);
	take(&a, LIMIT_BYTES, 700);
	take(&b, LIMIT_BYTES, 300);
	account_discharge(&a, LIMIT_BYTES, 50);
	take(&b, LIMIT_BYTES, 50);
	refused(&b, LIMIT_BYTES, 1,
	    "too many bytes: all sessions of a uid together may have 1000 "
	    "(option --max-bytes)");
	account_fini(&a);
	account_fini(&b);
}
END_TEST

START_TEST(the_end_of_a_session_gives_all_back)
{
	struct account a, b;

	account_init(&a, &limits, UID);
	account_init(&b, &limits, UID);
	take(&a, LIMIT_WATCHERS, 6);
	take(&a, LIMIT_BYTES, 700);
	take(&a, LIMIT_SESSIONS, 1);
	account_fini(&a);
	take(&b, LIMIT_WATCHERS, 6);
	take(&b, LIMIT_BYTES, 700);
	take(&b, LIMIT_SESSIONS, 3);
	account_fini(&b);
}
END_TEST

START_TEST(sessions_are_a_uids_alone)
{
	struct account a;

	limits.session[LIMIT_SESSIONS] = 1;
	account_init(&a, &limits, UID);
	take(&a, LIMIT_SESSIONS, 3);
	refused(&a, LIMIT_SESSIONS, 1,
	    "too many sessions: all sessions of a uid together may have 3 "
	    "(option --max-sessions)");
	account_fini(&a);
}
END_TEST

START_TEST(one_uid_takes_nothing_from_another)
{
	struct account a, b, c;

	account_init(&a, &limits, UID);
	account_init(&b, &limits, UID);
	account_init(&c, &limits, UID + 1);
	take(&a, LIMIT_WATCHERS, 6);
	take(&b, LIMIT_WATCHERS, 4);
	take(&c, LIMIT_WATCHERS, 6);
	ck_assert_uint_eq(account_uid(&a), UID);
	ck_assert_uint_eq(account_uid(&c), UID + 1);
	ck_assert_uint_eq(limits.accounts.count, 2);
	account_fini(&b);
	account_fini(&c);
	ck_assert_uint_eq(limits.accounts.count, 1);
	account_fini(&a);
}
END_TEST

START_TEST(many_uids_have_an_account_each)
{
	static struct account accounts[1000];

	for (int i = 0; i < 1000; i++) {
		account_init(&accounts[i], &limits, i);
		take(&accounts[i], LIMIT_WATCHERS, 6);
	}
	ck_assert_uint_eq(limits.accounts.count, 1000);
	for (int i = 0; i < 1000; i++)
		account_fini(&accounts[i]);
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("account", setup, teardown);

	tcase_add_test(cases, a_session_has_its_own_limit_by_default);
	tcase_add_test(cases, session_may_have_its_limit_and_no_more);
	tcase_add_test(cases, sessions_of_a_uid_share_its_limit);
	tcase_add_test(cases, a_refusal_charges_nothing);
	tcase_add_test(cases, what_is_given_back_can_be_had_again);
	tcase_add_test(cases, the_end_of_a_session_gives_all_back);
	tcase_add_test(cases, sessions_are_a_uids_alone);
	tcase_add_test(cases, one_uid_takes_nothing_from_another);
	tcase_add_test(cases, many_uids_have_an_account_each);
	return unit_run(cases);
}
