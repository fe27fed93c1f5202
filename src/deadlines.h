#ifndef EVD_DEADLINES_H
#define EVD_DEADLINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Deadlines, the earliest of which is at hand; of several at the same time it
 * is the one that was set first, unless some 2^31 were set since then.  A
 * deadline lives inside the thing that waits for it, and whoever owns the heap
 * knows what things these are.
 *
 * It is a heap in which each node has four children.  The array is made of
 * pieces, so it grows and shrinks by one of them and is never moved as a
 * whole: nobody waits for the copying of a million entries.
 */
struct deadline {
	uint32_t place; /* in the heap; 0: it is not set */
	uint32_t order; /* of setting */
};

struct deadlines_slot {
	double at;
	struct deadline *deadline;
};

struct deadlines {
	struct deadlines_slot **pieces;
	uint32_t n;	 /* set */
	uint32_t room;	 /* slots in all pieces */
	uint32_t orders; /* given out */
};

void deadlines_init(struct deadlines *);
/* What is set is forgotten, but not told so. */
void deadlines_fini(struct deadlines *);

/* Sets one, or sets it anew. */
void deadlines_set(struct deadlines *, struct deadline *, double at);
/* Does nothing for one that is not set. */
void deadlines_unset(struct deadlines *, struct deadline *);

/* Borrowed; NULL if none is set. */
struct deadline *deadlines_first(const struct deadlines *);
/* Its time; infinite if none is set. */
double deadlines_first_at(const struct deadlines *);

/* Whether one that is set is where it says, and not too early in the heap. */
bool deadlines_are_sound_at(const struct deadlines *, const struct deadline *);

static inline bool
deadline_is_set(const struct deadline *d)
{
	return d->place != 0;
}

#endif
