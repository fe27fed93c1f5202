#include "config.h"

#include "deadlines.h"

#include <math.h>
#include <stdlib.h>

#include "memory.h"
#include "unit.h"

/* What a heap must do, by a list that is searched from end to end. */
struct item {
	struct deadline deadline; /* first */
	double at;
	unsigned int order;
	bool set;
};

static struct deadlines q;
static struct item *items;
static unsigned int n_items, orders;

static void
setup(void)
{
	deadlines_init(&q);
}

static void
teardown(void)
{
	deadlines_fini(&q);
	free(items);
	items = NULL;
}

static void
make_items(unsigned int n)
{
	items = memory_zalloc(n * sizeof(*items));
	n_items = n;
}

static void
set(struct item *item, double at)
{
	deadlines_set(&q, &item->deadline, at);
	item->at = at;
	item->order = ++orders;
	item->set = true;
}

static void
unset(struct item *item)
{
	deadlines_unset(&q, &item->deadline);
	item->set = false;
}

static int
compare(const struct item *a, const struct item *b)
{
	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static struct item *
model_first(void)
{
	struct item *first = NULL;

	for (unsigned int i = 0; i < n_items; i++)
		if (items[i].set &&
		    (first == NULL || compare(&items[i], first) < 0))
			first = &items[i];
	return first;
}

static void
check_first(void)
{
	struct item *first = model_first();

	ck_assert_ptr_eq(deadlines_first(&q), first);
	ck_assert(deadlines_first_at(&q) ==
	    (first == NULL ? INFINITY : first->at));
}

START_TEST(empty)
{
	struct deadline d = { 0 };

	check_first();
	deadlines_unset(&q, &d);
	ck_assert(!deadline_is_set(&d));
	deadlines_set(&q, &d, 1);
	ck_assert(deadline_is_set(&d));
	ck_assert(deadlines_first_at(&q) == 1);
	deadlines_unset(&q, &d);
	ck_assert(!deadline_is_set(&d));
	check_first();
}
END_TEST

START_TEST(same_time_is_in_order_of_setting)
{
	make_items(50);
	for (unsigned int i = 0; i < 50; i++)
		set(&items[i], 7);
	/* Set anew, it is the last. */
	set(&items[3], 7);
	for (unsigned int i = 0; i < 50; i++) {
		struct item *first = model_first();

		ck_assert_ptr_eq(first,
		    &items[i < 3    ? i :
			    i == 49 ? 3 :
				      i + 1]);
		check_first();
		unset(first);
	}
}
END_TEST

START_TEST(order_goes_on_when_its_number_has_no_room)
{
	make_items(20);
	q.orders = UINT32_MAX - 10;
	for (unsigned int i = 0; i < 20; i++)
		set(&items[i], 7);
	for (unsigned int i = 0; i < 20; i++) {
		check_first();
		unset(model_first());
	}
}
END_TEST

/*
 * Orders that lie further apart than half of all numbers go around in a circle:
 * of those at the same time any may be the first, but nothing is wrong then.
 */
START_TEST(orders_far_apart_are_sound)
{
	make_items(40);
	for (unsigned int i = 0; i < 40; i++) {
		q.orders = i * 0x60000000U;
		set(&items[i], i % 4 == 0 ? 3 : 7);
	}
	for (unsigned int n = 40; n > 0; n--) {
		struct item *first = (struct item *)deadlines_first(&q);

		for (unsigned int i = 0; i < 40; i++)
			if (items[i].set)
				ck_assert(deadlines_are_sound_at(&q,
				    &items[i].deadline));
		ck_assert(first->at == (n > 30 ? 3 : 7));
		unset(first);
	}
}
END_TEST

/* Few times, so that many are the same. */
START_TEST(random_operations_are_as_those_of_a_list)
{
	make_items(300);
	for (int i = 0; i < 30000; i++) {
		struct item *item = &items[unit_below(n_items)];
		/* Now it grows, now it shrinks. */
		bool more = i / 1000 % 2 == 0;

		if (unit_below(10) < (more ? 8 : 2))
			set(item, (double)unit_below(100));
		else if (unit_below(2) == 0)
			unset(item);
		else if (model_first() != NULL)
			unset(model_first());
		check_first();
	}
}
END_TEST

/* More than a piece of its array; and it is as small again at the end. */
START_TEST(many)
{
	enum { MANY = 50000 };

	make_items(MANY);
	for (unsigned int i = 0; i < MANY; i++)
		set(&items[i], (double)unit_below(MANY));
	for (unsigned int i = 0; i < MANY; i += 3)
		unset(&items[i]);
	for (unsigned int i = 1; i < MANY; i += 6)
		set(&items[i], (double)unit_below(MANY));
	ck_assert_uint_ge(q.room, q.n);
	ck_assert_uint_lt(q.room, q.n + 10000);
	for (struct item *last = NULL; q.n > 0;) {
		struct item *first = (struct item *)deadlines_first(&q);

		ck_assert(first->set);
		if (last != NULL)
			ck_assert_int_lt(compare(last, first), 0);
		last = first;
		unset(first);
	}
	for (unsigned int i = 0; i < MANY; i++)
		ck_assert(!items[i].set);
	ck_assert_uint_le(q.room, 8);
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("deadlines", setup, teardown);

	tcase_add_test(cases, empty);
	tcase_add_test(cases, same_time_is_in_order_of_setting);
	tcase_add_test(cases, order_goes_on_when_its_number_has_no_room);
	tcase_add_test(cases, orders_far_apart_are_sound);
	tcase_add_test(cases, random_operations_are_as_those_of_a_list);
	tcase_add_test(cases, many);
	return unit_run(cases);
}
