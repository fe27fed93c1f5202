#include "config.h"

#include "deadlines.h"

#include <math.h>
#include <stdlib.h>

#include "memory.h"

/* The root's place; the children of a node then share a cache line. */
#define ROOT	   3
#define CHILDREN   4
#define PIECE_BITS 12
#define PIECE	   (1U << PIECE_BITS) /* slots */
#define ROOM_MIN   8

static struct deadlines_slot *
deadlines_slot(const struct deadlines *q, uint32_t place)
{
	return &q->pieces[place >> PIECE_BITS][place & (PIECE - 1)];
}

/* --- room ----------------------------------------------------------------- */

/* A single piece may be smaller than others. */
static void
deadlines_resize_first(struct deadlines *q, uint32_t room)
{
	if (q->pieces == NULL) {
		q->pieces = memory_alloc(sizeof(*q->pieces));
		q->pieces[0] = NULL;
	}
	q->pieces[0] = memory_realloc(q->pieces[0], room * sizeof(**q->pieces));
	q->room = room;
}

static void
deadlines_grow(struct deadlines *q)
{
	uint32_t n = q->room / PIECE;

	if (q->room < PIECE) {
		deadlines_resize_first(q,
		    q->room == 0 ? ROOM_MIN : 2 * q->room);
		return;
	}
	/* The list of pieces doubles when their number is a power of two. */
	if ((n & (n - 1)) == 0)
		q->pieces = memory_realloc(q->pieces,
		    2 * n * sizeof(*q->pieces));
	q->pieces[n] = memory_alloc(PIECE * sizeof(**q->pieces));
	q->room += PIECE;
}

/* Not at once what may be needed again soon. */
static void
deadlines_shrink(struct deadlines *q)
{
	if (q->room > PIECE) {
		if (q->n + PIECE + PIECE / 2 > q->room)
			return;
		q->room -= PIECE;
		free(q->pieces[q->room / PIECE]);
	} else if (q->room > ROOM_MIN && q->n < q->room / 4) {
		deadlines_resize_first(q, q->room / 2);
	}
}

/* --- the heap ------------------------------------------------------------- */

static bool
slot_before(const struct deadlines_slot *a, const struct deadlines_slot *b)
{
	if (a->at != b->at)
		return a->at < b->at;
	return (int32_t)(a->deadline->order - b->deadline->order) < 0;
}

static uint32_t
parent_of(uint32_t place)
{
	return (place - ROOT - 1) / CHILDREN + ROOT;
}

static uint32_t
first_child_of(uint32_t place)
{
	return (place - ROOT) * CHILDREN + ROOT + 1;
}

static void
deadlines_put(struct deadlines *q, uint32_t place, struct deadlines_slot slot)
{
	*deadlines_slot(q, place) = slot;
	slot.deadline->place = place;
}

/* From a place that is free; up, as far as it belongs. */
static void
deadlines_rise(struct deadlines *q, uint32_t place, struct deadlines_slot slot)
{
	while (place > ROOT) {
		uint32_t parent = parent_of(place);
		struct deadlines_slot above = *deadlines_slot(q, parent);

		if (!slot_before(&slot, &above))
			break;
		deadlines_put(q, place, above);
		place = parent;
	}
	deadlines_put(q, place, slot);
}

/* The earliest child; 0: there is none. */
static uint32_t
deadlines_first_child(const struct deadlines *q, uint32_t place)
{
	uint32_t child = first_child_of(place), end = ROOT + q->n;
	uint32_t best = child;

	if (child >= end)
		return 0;
	if (end > child + CHILDREN)
		end = child + CHILDREN;
	while (++child < end)
		if (slot_before(deadlines_slot(q, child),
			deadlines_slot(q, best)))
			best = child;
	return best;
}

/* Down, as far as it belongs. */
static void
deadlines_sink(struct deadlines *q, uint32_t place, struct deadlines_slot slot)
{
	uint32_t child;

	while ((child = deadlines_first_child(q, place)) != 0) {
		struct deadlines_slot below = *deadlines_slot(q, child);

		if (!slot_before(&below, &slot))
			break;
		deadlines_put(q, place, below);
		place = child;
	}
	deadlines_put(q, place, slot);
}

void
deadlines_init(struct deadlines *q)
{
	*q = (struct deadlines){ 0 };
}

void
deadlines_fini(struct deadlines *q)
{
	for (uint32_t i = 0; i * PIECE < q->room; i++)
		free(q->pieces[i]);
	free(q->pieces);
	*q = (struct deadlines){ 0 };
}

void
deadlines_set(struct deadlines *q, struct deadline *d, double at)
{
	deadlines_unset(q, d);
	if (ROOT + q->n == q->room || q->room == 0)
		deadlines_grow(q);
	d->order = q->orders++;
	deadlines_rise(q, ROOT + q->n++, (struct deadlines_slot){ at, d });
}

void
deadlines_unset(struct deadlines *q, struct deadline *d)
{
	uint32_t place = d->place;
	struct deadlines_slot last;

	if (place == 0)
		return;
	d->place = 0;
	last = *deadlines_slot(q, ROOT + --q->n);
	if (last.deadline != d) {
		/* It fills the gap, from where it may go either way. */
		if (place > ROOT &&
		    slot_before(&last, deadlines_slot(q, parent_of(place))))
			deadlines_rise(q, place, last);
		else
			deadlines_sink(q, place, last);
	}
	deadlines_shrink(q);
}

struct deadline *
deadlines_first(const struct deadlines *q)
{
	return q->n == 0 ? NULL : deadlines_slot(q, ROOT)->deadline;
}

double
deadlines_first_at(const struct deadlines *q)
{
	return q->n == 0 ? INFINITY : deadlines_slot(q, ROOT)->at;
}

/* Only times are compared: orders may go around in a circle. */
bool
deadlines_are_sound_at(const struct deadlines *q, const struct deadline *d)
{
	uint32_t place = d->place;

	return place >= ROOT && place < ROOT + q->n &&
	    deadlines_slot(q, place)->deadline == d &&
	    (place == ROOT ||
		deadlines_slot(q, parent_of(place))->at <=
		    deadlines_slot(q, place)->at);
}
