#include "config.h"

#include "table.h"

#include <string.h>

#include "hash.h"
#include "unit.h"

struct thing {
	struct table_node node;
	uint32_t key;
	bool there;
};

static struct table table;

static void
setup(void)
{
	table_init(&table);
}

static void
teardown(void)
{
	table_fini(&table);
}

static bool
match(const struct table_node *node, const void *key)
{
	return ((const struct thing *)node)->key == *(const uint32_t *)key;
}

static struct thing *
find(uint32_t key, uint32_t hash)
{
	return (struct thing *)table_find(&table, hash, match, &key);
}

static void
insert(struct thing *thing, uint32_t key, uint32_t hash)
{
	*thing = (struct thing){ .key = key, .there = true };
	table_insert(&table, &thing->node, hash);
}

START_TEST(empty_table_finds_nothing)
{
	ck_assert_ptr_null(find(1, 1));
	ck_assert_uint_eq(table.now.size, 0);
}
END_TEST

START_TEST(finds_what_was_inserted_and_nothing_else)
{
	struct thing one, two;

	insert(&one, 1, 100);
	insert(&two, 2, 200);
	ck_assert_ptr_eq(find(1, 100), &one);
	ck_assert_ptr_eq(find(2, 200), &two);
	ck_assert_ptr_null(find(3, 100));
	ck_assert_ptr_null(find(1, 200));
}
END_TEST

START_TEST(equal_hashes_are_told_apart)
{
	struct thing things[100];

	for (uint32_t i = 0; i < 100; i++)
		insert(&things[i], i, 7);
	table_remove(&table, &things[50].node);
	for (uint32_t i = 0; i < 100; i++)
		ck_assert_ptr_eq(find(i, 7), i == 50 ? NULL : &things[i]);
}
END_TEST

START_TEST(equal_hashes_in_part_are_not_matched)
{
	struct thing thing;

	/* The same place, and a match that would say yes. */
	insert(&thing, 1, 8);
	ck_assert_ptr_null(find(1, 0));
	ck_assert_ptr_null(find(1, 16));
}
END_TEST

START_TEST(removed_from_front_middle_and_end_of_a_run)
{
	struct thing things[3];

	for (size_t gone = 0; gone < 3; gone++) {
		for (uint32_t i = 0; i < 3; i++)
			insert(&things[i], i, 8 * i);
		table_remove(&table, &things[gone].node);
		for (uint32_t i = 0; i < 3; i++)
			ck_assert((find(i, 8 * i) == NULL) == (i == gone));
		table_fini(&table);
	}
}
END_TEST

START_TEST(no_insertion_pays_for_all)
{
	static struct thing things[100000];
	size_t moved = 0;

	for (uint32_t i = 0; i < 100000; i++) {
		insert(&things[i], i, (uint32_t)unit_random());
		ck_assert(table.moved <= moved + 8);
		moved = table.moved;
		ck_assert_uint_eq(table.count, i + 1);
	}
	/* And there is room left, in which searches end. */
	ck_assert_uint_ge(table.now.size / 4 * 3, table.count);
}
END_TEST

/* In every state of every move: those that are there, and no others. */
START_TEST(finds_and_removes_while_it_moves)
{
	static struct thing things[800];

	for (uint32_t n = 0; n < 800; n++) {
		for (uint32_t i = 0; i <= n; i++)
			insert(&things[i], i, i % 7 == 0 ? UINT32_MAX : i * i);
		for (uint32_t i = 0; i <= n; i += 2)
			table_remove(&table, &things[i].node);
		for (uint32_t i = 0; i <= n; i++) {
			uint32_t hash = i % 7 == 0 ? UINT32_MAX : i * i;

			ck_assert_ptr_eq(find(i, hash),
			    i % 2 == 0 ? NULL : &things[i]);
		}
		table_fini(&table);
	}
}
END_TEST

START_TEST(table_serves_again_after_its_end)
{
	struct thing thing;

	insert(&thing, 1, 1);
	table_fini(&table);
	ck_assert_ptr_null(find(1, 1));
	insert(&thing, 2, 1);
	ck_assert_ptr_eq(find(2, 1), &thing);
}
END_TEST

/* Few hashes, so that many are equal, and many in one run. */
START_TEST(behaves_as_a_set_does)
{
	static struct thing things[5000];
	uint32_t n = 0;

	for (int i = 0; i < 100000; i++) {
		uint32_t key = unit_below(5000);
		uint32_t hash = key * 0x10001 % 3000;
		struct thing *thing = &things[key];

		ck_assert_ptr_eq(find(key, hash), thing->there ? thing : NULL);
		if (thing->there)
			table_remove(&table, &thing->node);
		else
			insert(thing, key, hash);
		thing->there = find(key, hash) == thing;
		n += thing->there ? 1 : -1;
		ck_assert_uint_eq(table.count, n);
	}
}
END_TEST

/* --- the hash ------------------------------------------------------------ */

/*
 * The key 00 01 .. 0f and the bytes 00 01 ..: SipHash-1-3 as in Python 3.11
 * and Rust, both halves by exclusive or.
 */
START_TEST(hash_is_siphash_1_3)
{
	static const struct {
		size_t len;
		uint32_t hash;
	} known[] = {
		{ 0, 0xaea3c584 },
		{ 1, 0xb4a35160 },
		{ 7, 0x48236cd8 },
		{ 8, 0xbbb90f9f },
		{ 9, 0x49a2b357 },
		{ 15, 0xf971413b },
		{ 16, 0xb1df567c },
		{ 63, 0x2aa223ca },
		{ 300, 0x9a4c801f },
	};
	struct hash_key key = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
	unsigned char bytes[300];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		ck_assert_uint_eq(hash_bytes(&key, bytes, known[i].len),
		    known[i].hash);
}
END_TEST

START_TEST(hash_reads_from_anywhere)
{
	struct hash_key key = { 1, 2 };
	char bytes[64];

	for (size_t i = 0; i < 16; i++) {
		memcpy(bytes + i, "a name of a watcher", 19);
		ck_assert_uint_eq(hash_bytes(&key, bytes + i, 19),
		    hash_bytes(&key, "a name of a watcher", 19));
	}
}
END_TEST

START_TEST(each_key_is_another_secret)
{
	struct hash_key one, two;

	hash_key_init(&one);
	hash_key_init(&two);
	ck_assert(memcmp(&one, &two, sizeof(one)) != 0);
	ck_assert_uint_ne(one.k0, 0);
	ck_assert_uint_ne(one.k1, 0);
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("table", setup, teardown);

	tcase_add_test(cases, empty_table_finds_nothing);
	tcase_add_test(cases, finds_what_was_inserted_and_nothing_else);
	tcase_add_test(cases, equal_hashes_are_told_apart);
	tcase_add_test(cases, equal_hashes_in_part_are_not_matched);
	tcase_add_test(cases, removed_from_front_middle_and_end_of_a_run);
	tcase_add_test(cases, no_insertion_pays_for_all);
	tcase_add_test(cases, finds_and_removes_while_it_moves);
	tcase_add_test(cases, table_serves_again_after_its_end);
	tcase_add_test(cases, behaves_as_a_set_does);
	tcase_add_test(cases, hash_is_siphash_1_3);
	tcase_add_test(cases, hash_reads_from_anywhere);
	tcase_add_test(cases, each_key_is_another_secret);
	return unit_run(cases);
}
