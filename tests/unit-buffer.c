#include "config.h"

#include "buffer.h"

#include "unit.h"

static struct buffer_pool pool;
static struct buffer b;

static void
setup(void)
{
	pool = (struct buffer_pool){ 0 };
	buffer_init(&b, &pool);
}

static void
teardown(void)
{
	buffer_fini(&b);
	buffer_pool_fini(&pool);
	ck_assert_uint_eq(pool.n, 0);
}

/* Appends n bytes that tell their place. */
static void
fill(struct buffer *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buffer_putc(to, 'a' + i % 26);
}

START_TEST(bytes_come_out_in_order)
{
	buffer_append(&b, "one,", 4);
	buffer_puts(&b, "two,");
	buffer_putc(&b, '3');
	ck_assert_uint_eq(buffer_len(&b), 9);
	buffer_consume(&b, 4);
	buffer_puts(&b, ",4");
	ck_assert_str_eq(unit_text(&b), "two,3,4");
}
END_TEST

START_TEST(empty_buffer_holds_no_memory)
{
	ck_assert_ptr_null(b.data);
	fill(&b, 1000);
	buffer_consume(&b, 999);
	ck_assert_ptr_nonnull(b.data);
	buffer_consume(&b, 1);
	ck_assert_ptr_null(b.data);
	ck_assert_uint_eq(buffer_len(&b), 0);
	ck_assert_uint_eq(b.size, 0);
}
END_TEST

START_TEST(cleared_and_truncated_to_nothing_hold_no_memory)
{
	fill(&b, 10);
	buffer_clear(&b);
	ck_assert_ptr_null(b.data);
	fill(&b, 10);
	buffer_truncate(&b, 0);
	ck_assert_ptr_null(b.data);
	ck_assert_uint_eq(buffer_len(&b), 0);
}
END_TEST

START_TEST(truncate_keeps_the_front)
{
	buffer_puts(&b, "0123456789");
	buffer_consume(&b, 2);
	buffer_truncate(&b, 3);
	ck_assert_str_eq(unit_text(&b), "234");
}
END_TEST

START_TEST(reserve_gives_the_room_asked_for)
{
	for (size_t n = 1; n < 300000; n = n * 3 + 1) {
		memset(buffer_reserve(&b, n), 'x', n);
		buffer_commit(&b, 1);
		ck_assert_uint_ge(b.size - b.end, n - 1);
	}
	ck_assert_str_eq(unit_text(&b), "xxxxxxxxxxxx");
}
END_TEST

START_TEST(consumed_room_is_used_again)
{
	size_t size;

	fill(&b, 512);
	buffer_consume(&b, 400);
	size = b.size;
	fill(&b, 300);
	ck_assert_uint_eq(b.size, size);
	ck_assert_uint_eq(buffer_len(&b), 412);
	ck_assert_int_eq(buffer_data(&b)[0], 'a' + 400 % 26);
	ck_assert_int_eq(buffer_data(&b)[112], 'a');
}
END_TEST

/* As a line that is appended and taken, again and again, behind a backlog. */
START_TEST(a_full_buffer_does_not_move_at_each_byte)
{
	size_t moves = 0;

	fill(&b, 131000);
	for (int i = 0; i < 10000; i++) {
		size_t start = b.start;

		buffer_putc(&b, 'x');
		moves += b.start < start;
		buffer_consume(&b, 1);
	}
	ck_assert_uint_eq(buffer_len(&b), 131000);
	ck_assert_uint_le(moves, 2);
}
END_TEST

START_TEST(block_of_an_empty_buffer_serves_the_next)
{
	struct buffer other;
	char *block;

	buffer_init(&other, &pool);
	fill(&b, 1000);
	block = b.data;
	buffer_clear(&b);
	ck_assert_uint_eq(pool.n, 1);
	fill(&other, 900);
	ck_assert_ptr_eq(other.data, block);
	ck_assert_uint_eq(pool.n, 0);
	buffer_fini(&other);
}
END_TEST

START_TEST(small_block_of_the_pool_is_not_taken_for_large)
{
	struct buffer other;
	size_t small;

	buffer_init(&other, &pool);
	fill(&b, 10);
	small = b.size;
	buffer_clear(&b);
	buffer_reserve(&other, small + 1);
	ck_assert_uint_gt(other.size, small);
	ck_assert_uint_eq(pool.n, 1);
	buffer_fini(&other);
}
END_TEST

START_TEST(pool_keeps_a_few_blocks_and_no_huge_one)
{
	struct buffer many[BUFFER_POOL_BLOCKS + 2];

	buffer_reserve(&b, BUFFER_POOL_SIZE_MAX + 1);
	buffer_clear(&b);
	ck_assert_uint_eq(pool.n, 0);
	for (int i = 0; i < BUFFER_POOL_BLOCKS + 2; i++) {
		buffer_init(&many[i], &pool);
		fill(&many[i], 1);
	}
	for (int i = 0; i < BUFFER_POOL_BLOCKS + 2; i++)
		buffer_fini(&many[i]);
	ck_assert_uint_eq(pool.n, BUFFER_POOL_BLOCKS);
}
END_TEST

START_TEST(buffer_without_a_pool_frees_its_block)
{
	struct buffer alone;

	buffer_init(&alone, NULL);
	fill(&alone, 5000);
	buffer_consume(&alone, 5000);
	ck_assert_ptr_null(alone.data);
	fill(&alone, 5);
	ck_assert_str_eq(unit_text(&alone), "abcde");
	buffer_fini(&alone);
}
END_TEST

START_TEST(fit_moves_few_bytes_out_of_a_large_block)
{
	size_t large;

	fill(&b, 60000);
	large = b.size;
	buffer_consume(&b, 59990);
	buffer_fit(&b);
	ck_assert_uint_lt(b.size, 1024);
	ck_assert_uint_eq(pool.n, 1);
	ck_assert_uint_eq(pool.blocks[0].size, large);
	ck_assert_int_eq(buffer_data(&b)[0], 'a' + 59990 % 26);
	ck_assert_uint_eq(buffer_len(&b), 10);
}
END_TEST

START_TEST(fit_leaves_what_is_small_or_well_used)
{
	char *block;

	fill(&b, 60000);
	block = b.data;
	buffer_fit(&b);
	ck_assert_ptr_eq(b.data, block);
	buffer_clear(&b);
	buffer_fit(&b);
	ck_assert_ptr_null(b.data);
	buffer_pool_fini(&pool);
	fill(&b, 10);
	block = b.data;
	buffer_fit(&b);
	ck_assert_ptr_eq(b.data, block);
}
END_TEST

/* Any sequence of operations, beside a plain array that does the same. */
START_TEST(behaves_as_an_array_does)
{
	static char model[1 << 20];
	size_t start = 0, end = 0;

	for (int i = 0; i < 20000; i++) {
		size_t n = 1 + unit_below(i % 100 == 0 ? 5000 : 50);

		switch (unit_below(8)) {
		case 0:
		case 1:
		case 2:
			for (size_t k = 0; k < n; k++)
				model[end + k] = unit_random();
			buffer_append(&b, model + end, n);
			end += n;
			break;
		case 3:
		case 4:
		case 5:
			n = n > end - start ? end - start : n;
			buffer_consume(&b, n);
			start += n;
			break;
		case 6:
			n = n > end - start ? end - start : n;
			buffer_truncate(&b, end - start - n);
			end -= n;
			break;
		case 7:
			buffer_fit(&b);
			break;
		}
		ck_assert_uint_eq(buffer_len(&b), end - start);
		if (end > start)
			ck_assert(memcmp(buffer_data(&b), model + start,
				      end - start) == 0);
		else
			ck_assert_ptr_null(b.data);
	}
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("buffer", setup, teardown);

	tcase_add_test(cases, bytes_come_out_in_order);
	tcase_add_test(cases, empty_buffer_holds_no_memory);
	tcase_add_test(cases, cleared_and_truncated_to_nothing_hold_no_memory);
	tcase_add_test(cases, truncate_keeps_the_front);
	tcase_add_test(cases, reserve_gives_the_room_asked_for);
	tcase_add_test(cases, consumed_room_is_used_again);
	tcase_add_test(cases, a_full_buffer_does_not_move_at_each_byte);
	tcase_add_test(cases, block_of_an_empty_buffer_serves_the_next);
	tcase_add_test(cases, small_block_of_the_pool_is_not_taken_for_large);
	tcase_add_test(cases, pool_keeps_a_few_blocks_and_no_huge_one);
	tcase_add_test(cases, buffer_without_a_pool_frees_its_block);
	tcase_add_test(cases, fit_moves_few_bytes_out_of_a_large_block);
	tcase_add_test(cases, fit_leaves_what_is_small_or_well_used);
	tcase_add_test(cases, behaves_as_an_array_does);
	return unit_run(cases);
}
