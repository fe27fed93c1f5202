#ifndef EVD_LISTENERS_H
#define EVD_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/*
 * Those that are told when something happens, in order of joining.  There may
 * be very many, so telling them goes by rounds, some listeners at a time: a
 * round tells each once, of all that has happened since it joined or was told
 * last, and before the round began.
 */
struct listener {
	TAILQ_ENTRY(listener) entry;
	uint64_t heard; /* so many calls are behind it, or were before it */
	/* May add and remove any listener, also its own. */
	void (*on_told)(struct listener *, uint64_t times);
};

struct listeners {
	TAILQ_HEAD(, listener) list;
	struct listener *next; /* to be told; NULL: the round is over */
	uint64_t calls;	       /* so far */
	uint64_t of;	       /* of these the round tells, or told */
};

void listeners_init(struct listeners *);

/* on_told is set already.  It is not told of what has happened before. */
void listeners_add(struct listeners *, struct listener *);
void listeners_del(struct listeners *, struct listener *);

/* It has happened so many times more; the next round tells of it. */
void listeners_call(struct listeners *, uint64_t times);

/* Tells at most n of them.  Returns what is left of n. */
size_t listeners_tell(struct listeners *, size_t n);
bool listeners_are_told(const struct listeners *);

#endif
