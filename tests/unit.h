#ifndef EVD_TESTS_UNIT_H
#define EVD_TESTS_UNIT_H

#include <check.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "buffer.h"
#include "memory.h"

/*
 * What the unit tests share.  Check runs each case in a process of its own;
 * the fixture here counts the open descriptors around it.
 */

static const char *unit_name;
static int unit_descriptors;

static inline int
unit_count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static inline void
unit_setup(void)
{
	unit_descriptors = unit_count_descriptors();
}

static inline void
unit_teardown(void)
{
	ck_assert_int_eq(unit_count_descriptors(), unit_descriptors);
}

/* A program's cases, and what goes before and after each. */
static inline TCase *
unit_cases(const char *name, void (*setup)(void), void (*teardown)(void))
{
	TCase *cases = tcase_create(name);

	unit_name = name;
	tcase_add_checked_fixture(cases, unit_setup, unit_teardown);
	tcase_add_checked_fixture(cases, setup, teardown);
	return cases;
}

/* Runs the cases, and frees them.  Returns the program's exit status. */
static inline int
unit_run(TCase *cases)
{
	Suite *suite = suite_create(unit_name);
	SRunner *runner;
	int failed;

	memory_init();
	suite_add_tcase(suite, cases);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}

/* What is in the buffer, as a string that stays until it is changed. */
static inline const char *
unit_text(struct buffer *b)
{
	*buffer_reserve(b, 1) = '\0';
	return buffer_data(b);
}

/* JSON is written with ' for " here.  Free it. */
static inline char *
unit_json(const char *text)
{
	char *json = memory_strdup(text);

	for (char *p = json; *p != '\0'; p++)
		if (*p == '\'')
			*p = '"';
	return json;
}

/*
 * Numbers that look random, the same ones in each run.  Another seed:
 * EVD_SEED=N in the environment.
 */
static uint64_t unit_seed;

static inline uint64_t
unit_random(void)
{
	const char *seed = getenv("EVD_SEED");
	uint64_t x;

	if (unit_seed == 0) {
		unit_seed = seed == NULL ? 1 : strtoull(seed, NULL, 0);
		printf("EVD_SEED=%" PRIu64 "\n", unit_seed);
		fflush(stdout);
		unit_seed = unit_seed * 2 + 1;
	}
	/* splitmix64 */
	unit_seed += 0x9e3779b97f4a7c15ULL;
	x = unit_seed;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* From 0 to n - 1. */
static inline size_t
unit_below(size_t n)
{
	return unit_random() % n;
}

#endif
