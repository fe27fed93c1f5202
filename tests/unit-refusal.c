#include "config.h"

#include "refusal.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "unit.h"

static struct refusals refusals;
static FILE *file; /* what is logged */

static void
setup(void)
{
	memset(&refusals, 0, sizeof(refusals));
	file = tmpfile();
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(dup2(fileno(file), STDERR_FILENO), STDERR_FILENO);
	log_set_level(LEVEL_NOTICE);
}

static void
teardown(void)
{
	fclose(file);
}

/* How many lines were logged since the last call, the last one in *last. */
static int
lines(char last[512])
{
	static char line[512];
	int n = 0;

	while (fgets(line, sizeof(line), file) != NULL)
		n++;
	clearerr(file);
	if (last != NULL)
		memcpy(last, line, sizeof(line));
	return n;
}

static int
refuse(pid_t pid, uid_t uid, double now, int times)
{
	struct peer peer = { .pid = pid, .uid = uid, .command = "sh" };
	off_t end = lseek(fileno(file), 0, SEEK_END);

	for (int i = 0; i < times; i++)
		refusal_log(&refusals, &peer, now, "why");
	/* The descriptor of standard error has the same offset. */
	fseeko(file, end, SEEK_SET);
	return lines(NULL);
}

START_TEST(one_process)
{
	ck_assert_int_eq(refuse(1, 1000, 100, 3), 3);
	ck_assert_int_eq(refuse(1, 1000, 105, 100), REFUSAL_PROCESS_MAX - 3);
	ck_assert_int_eq(refuse(1, 1000, 109.9, 100), 0);
	ck_assert_int_eq(refuse(1, 1000, 110, 100), REFUSAL_PROCESS_MAX);
}
END_TEST

START_TEST(one_process_does_not_hide_another)
{
	ck_assert_int_eq(refuse(1, 1000, 100, 1000), REFUSAL_PROCESS_MAX);
	ck_assert_int_eq(refuse(2, 1000, 100, 1), 1);
	ck_assert_int_eq(refuse(1, 1001, 100, 1), 1);
	/* Nor one whose place it has. */
	ck_assert_int_eq(refuse(1 + REFUSAL_PLACES, 1000, 100, 1), 1);
}
END_TEST

START_TEST(all_processes_of_a_uid)
{
	int n = 0;

	for (pid_t pid = 1; pid < 1000; pid++)
		n += refuse(pid, 1000, 100, 1);
	ck_assert_int_eq(n, REFUSAL_UID_MAX);
	ck_assert_int_eq(refuse(1, 1001, 100, 1), 1);
}
END_TEST

/* However many uids there are, it has an end. */
START_TEST(all_uids)
{
	int n = 0;

	for (uid_t uid = 0; uid < 2000; uid++)
		for (pid_t pid = 1; pid < 5; pid++)
			n += refuse(pid, uid, 100, 2);
	ck_assert_int_le(n, REFUSAL_PLACES * REFUSAL_UID_MAX);
}
END_TEST

START_TEST(what_was_left_out_is_counted)
{
	char line[512];

	refuse(1, 1000, 100, REFUSAL_PROCESS_MAX + 17);
	refuse(1, 1000, 200, 1);
	fseeko(file, 0, SEEK_SET);
	lines(line);
	ck_assert_str_eq(line,
	    "evd: refused pid 1 of uid 1000 (sh): why (17 such lines were left "
	    "out)\n");
	refuse(1, 1000, 200, 1);
	fseeko(file, 0, SEEK_SET);
	lines(line);
	ck_assert_str_eq(line, "evd: refused pid 1 of uid 1000 (sh): why\n");
}
END_TEST

START_TEST(only_some_errors)
{
	struct peer peer = { .pid = 1, .uid = 1000 };
	struct error error = { .message = "why" };

	for (int code = 0; code < ERROR_CODES; code++) {
		error.code = code;
		refusal_log_error(&refusals, &peer, 100, &error);
	}
	fseeko(file, 0, SEEK_SET);
	ck_assert_int_eq(lines(NULL), 2);
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("refusal", setup, teardown);

	tcase_add_test(cases, one_process);
	tcase_add_test(cases, one_process_does_not_hide_another);
	tcase_add_test(cases, all_processes_of_a_uid);
	tcase_add_test(cases, all_uids);
	tcase_add_test(cases, what_was_left_out_is_counted);
	tcase_add_test(cases, only_some_errors);
	return unit_run(cases);
}
