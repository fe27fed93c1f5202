#ifndef EVD_GATHER_H
#define EVD_GATHER_H

#include <stdbool.h>
#include <stddef.h>

#include "deadlines.h"

/*
 * When the next batch may begin.  What is ready for it is counted by kind.
 * What is of no kind lets it begin at once; else it begins when the first that
 * is ready of some kind has waited as long as the session says for that kind.
 */
enum gather_kind {
	GATHER_NOT,
	GATHER_IO,
	GATHER_TIMEOUT,
	GATHER_KINDS,
};

struct gather {
	double intervals[GATHER_KINDS]; /* in seconds */
	size_t n[GATHER_KINDS];		/* that are ready */
	double since[GATHER_KINDS];	/* where there are some: the first is */
	struct deadline deadline;	/* the owner's */
};

/*
 * One more is ready, or one that was is not.  Each returns whether it is the
 * only one of its kind, so that gather_due() may say something else.
 */
bool gather_add(struct gather *, enum gather_kind, double now);
bool gather_remove(struct gather *, enum gather_kind);
/* The batch has begun: nothing is ready for the next one. */
void gather_clear(struct gather *);

/* When the batch may begin: by the same clock; infinite if nothing is ready. */
double gather_due(const struct gather *);

#endif
