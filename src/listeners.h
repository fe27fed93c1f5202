#ifndef EVD_LISTENERS_H
#define EVD_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/*
 * Those that are told when something happens, in order of joining.  There may
 * be very many, so telling them goes by rounds, some listeners at a time: a
 * round tells all that were there when it was called for, once.
 */
struct listener {
	TAILQ_ENTRY(listener) entry;
	uint64_t round; /* the last one that it is not to be told of */
	/* May add and remove any listener, also its own. */
	void (*on_told)(struct listener *, uint64_t times);
};

struct listeners {
	TAILQ_HEAD(, listener) list;
	struct listener *next; /* to be told; NULL: the round is over */
	uint64_t round;
	uint64_t times; /* of this round */
	uint64_t more;	/* for the next round */
};

void listeners_init(struct listeners *);

/* on_told is set already.  It is not told of what has happened before. */
void listeners_add(struct listeners *, struct listener *);
void listeners_del(struct listeners *, struct listener *);

/* It has happened so many times more; merged, if the next round is waiting. */
void listeners_call(struct listeners *, uint64_t times);

/* Tells at most n of them.  Returns what is left of n. */
size_t listeners_tell(struct listeners *, size_t n);
bool listeners_are_told(const struct listeners *);

#endif
