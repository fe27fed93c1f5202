#include "config.h"

#include "table.h"

#include <stdlib.h>

#include "memory.h"

#define TABLE_LINES_MIN 2
/* Old slots that an insertion moves: all are, long before it grows again. */
#define TABLE_MOVES 8
/* In old slots, for a hash: a node was here, and others may be behind it. */
#define GONE	2
#define NOWHERE SIZE_MAX

_Static_assert(sizeof(struct table_line) == TABLE_LINE ||
	sizeof(void *) != sizeof(uint64_t),
    "as large as a cache line");

/*
 * Hashes may be small numbers: this spreads them over the high bits.  Never 0,
 * which is an empty slot, nor GONE.
 */
static inline uint32_t
table_spread(uint32_t hash)
{
	return hash * 0x9e3779b1U | 1;
}

static inline uint32_t *
slots_hash(const struct table_slots *slots, size_t i)
{
	return &slots->lines[i / TABLE_LINE_SLOTS].hashes[i % TABLE_LINE_SLOTS];
}

static inline struct table_node **
slots_node(const struct table_slots *slots, size_t i)
{
	return &slots->lines[i / TABLE_LINE_SLOTS].nodes[i % TABLE_LINE_SLOTS];
}

/* Zeroed: pages of a large block that are not touched yet cost nothing. */
static void
slots_init(struct table_slots *slots, size_t n_lines)
{
	uintptr_t start;

	slots->size = n_lines * TABLE_LINE_SLOTS;
	slots->block = memory_zalloc((n_lines + 1) * TABLE_LINE);
	start = (uintptr_t)slots->block + TABLE_LINE - 1;
	slots->lines = (struct table_line *)(start - start % TABLE_LINE);
}

static void
slots_fini(struct table_slots *slots)
{
	free(slots->block);
	*slots = (struct table_slots){ 0 };
}

void
table_init(struct table *t)
{
	*t = (struct table){ 0 };
}

void
table_fini(struct table *t)
{
	slots_fini(&t->now);
	slots_fini(&t->old);
	table_init(t);
}

/* --- searching ----------------------------------------------------------- */

/* In the order of hashes: moving goes through both arrays from end to end. */
static inline size_t
slots_place(const struct table_slots *slots, uint32_t hash)
{
	return (size_t)((uint64_t)hash * slots->size >> 32);
}

/*
 * Both searches go from a node's place to the next empty slot, around the end.
 * In old slots those that were moved count as taken by others: what was pushed
 * behind them is still to be found.
 */
static inline size_t
slots_first(const struct table_slots *slots, size_t moved, uint32_t hash)
{
	size_t i = slots_place(slots, hash);

	return i < moved ? moved : i;
}

static inline size_t
slots_next(const struct table_slots *slots, size_t moved, size_t i)
{
	return i + 1 < slots->size ? i + 1 : moved;
}

static struct table_node *
slots_find(const struct table_slots *slots, size_t moved, uint32_t hash,
    table_match *match, const void *key)
{
	size_t i = slots_first(slots, moved, hash);

	for (size_t n = moved; n < slots->size && *slots_hash(slots, i) != 0;
	     n++) {
		if (*slots_hash(slots, i) == hash &&
		    match(*slots_node(slots, i), key))
			return *slots_node(slots, i);
		i = slots_next(slots, moved, i);
	}
	return NULL;
}

static size_t
slots_find_node(const struct table_slots *slots, size_t moved,
    const struct table_node *node)
{
	size_t i = slots_first(slots, moved, node->hash);

	for (size_t n = moved; n < slots->size && *slots_hash(slots, i) != 0;
	     n++) {
		if (*slots_node(slots, i) == node)
			return i;
		i = slots_next(slots, moved, i);
	}
	return NOWHERE;
}

struct table_node *
table_find(const struct table *t, uint32_t hash, table_match *match,
    const void *key)
{
	struct table_node *node;

	hash = table_spread(hash);
	node = slots_find(&t->now, 0, hash, match, key);
	return node != NULL ? node :
			      slots_find(&t->old, t->moved, hash, match, key);
}

void
table_prefetch(const struct table *t, uint32_t hash)
{
	hash = table_spread(hash);
	if (t->now.size > 0)
		__builtin_prefetch(
		    slots_hash(&t->now, slots_first(&t->now, 0, hash)), 1);
	if (t->old.size > 0)
		__builtin_prefetch(slots_hash(&t->old,
		    slots_first(&t->old, t->moved, hash)));
}

/* --- changing ------------------------------------------------------------ */

static void
slots_put(struct table_slots *slots, uint32_t hash, struct table_node *node)
{
	size_t i = slots_first(slots, 0, hash);

	while (*slots_hash(slots, i) != 0)
		i = slots_next(slots, 0, i);
	*slots_hash(slots, i) = hash;
	*slots_node(slots, i) = node;
}

/*
 * The old slots go when the last of them was moved.  The nodes themselves are
 * not looked at: each would be a wait for memory.
 */
static void
table_move_some(struct table *t)
{
	for (int n = 0; n < TABLE_MOVES && t->old.size > 0; n++) {
		struct table_node *node = *slots_node(&t->old, t->moved);

		if (node != NULL)
			slots_put(&t->now, *slots_hash(&t->old, t->moved),
			    node);
		if (++t->moved < t->old.size)
			continue;
		slots_fini(&t->old);
		t->moved = 0;
	}
}

static void
table_grow(struct table *t)
{
	size_t n_lines = t->now.size / TABLE_LINE_SLOTS;

	t->old = t->now;
	slots_init(&t->now,
	    n_lines == 0 ? TABLE_LINES_MIN : n_lines + n_lines / 2);
}

void
table_insert(struct table *t, struct table_node *node, uint32_t hash)
{
	if (t->old.size == 0 && t->count + 1 > t->now.size / 4 * 3)
		table_grow(t);
	table_move_some(t);
	node->hash = table_spread(hash);
	slots_put(&t->now, node->hash, node);
	t->count++;
}

/* How far behind a slot another one is, around the end. */
static inline size_t
slots_distance(const struct table_slots *slots, size_t from, size_t to)
{
	return to >= from ? to - from : to + slots->size - from;
}

/* What was pushed behind the slot moves up, unless that is its place. */
static void
slots_close_gap(struct table_slots *slots, size_t gap)
{
	for (size_t i = slots_next(slots, 0, gap); *slots_hash(slots, i) != 0;
	     i = slots_next(slots, 0, i)) {
		size_t place = slots_place(slots, *slots_hash(slots, i));

		if (slots_distance(slots, place, i) <
		    slots_distance(slots, gap, i))
			continue;
		*slots_hash(slots, gap) = *slots_hash(slots, i);
		*slots_node(slots, gap) = *slots_node(slots, i);
		gap = i;
	}
	*slots_hash(slots, gap) = 0;
	*slots_node(slots, gap) = NULL;
}

void
table_remove(struct table *t, struct table_node *node)
{
	size_t i = slots_find_node(&t->now, 0, node);

	t->count--;
	if (i != NOWHERE) {
		slots_close_gap(&t->now, i);
		return;
	}
	i = slots_find_node(&t->old, t->moved, node);
	*slots_hash(&t->old, i) = GONE;
	*slots_node(&t->old, i) = NULL;
}
