#ifndef EVD_DIRWATCH_H
#define EVD_DIRWATCH_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "filestate.h"
#include "jobs.h"
#include "place.h"

/*
 * Files by path, and what changes about them: after the last change of
 * anything that the path leads through or to, the state is compared once
 * more, so the owner hears of the final state.
 *
 * An item is anchored at the places where something of its way ends (way.h):
 * what happens there or above makes a job to go the way again, or only to
 * compare (place.h).  The steps of jobs are small, and so is their number in
 * one iteration (jobs.h).
 *
 * Where inotify can't be had for some place of the way, or its file system
 * does not tell of all changes, the path is compared every `interval` too.
 */
#define DIRWATCH_INTERVAL_S 5.007 /* for an interval of 0; as libev's, about */

struct dirwatch_poll;
struct dirwatch_item;

/* A place where something of the item's way ends. */
struct dirwatch_anchor {
	struct place *place; /* referenced */
	struct dirwatch_item *item;
	TAILQ_ENTRY(dirwatch_anchor) entry;
	uint32_t seen; /* in which of the place's sweeps */
};

struct dirwatch {
	struct jobs jobs; /* of places and of items that are polled */
	struct places places;
	int explained;	     /* the last reason for polling that was logged */
	double explained_at; /* and when, on the loop's clock */
};

struct dirwatch_item {
	/* The owner's to set, before it is added; path is borrowed. */
	const char *path; /* absolute */
	bool follow;	  /* the last component too */
	double interval;  /* in seconds; may be changed at any time */
	/* The state is another, or the file was changed without that. */
	void (*on_change)(struct dirwatch_item *);

	struct filestate state; /* as of the last comparison */

	/* Private. */
	struct dirwatch *dirwatch;  /* NULL: not added */
	struct dirwatch_poll *poll; /* while it is polled; owned */
	/* The last one is where the way ends, if it is complete. */
	struct dirwatch_anchor first, *more; /* more: owned */
	uint8_t n_anchors;
	bool complete; /* no component is missing */
	int wd;	       /* of the file's mark, at the last comparison; or -1 */
};

void dirwatch_init(struct dirwatch *, struct ev_loop *);
/* There are no items any more. */
void dirwatch_fini(struct dirwatch *);

/*
 * Takes the state; returns a negative errno, with nothing added, if what is
 * there can't be said.  on_change is called from the loop only.
 */
int dirwatch_add(struct dirwatch *, struct dirwatch_item *);
/* Does nothing for one not added.  on_change may do this. */
void dirwatch_del(struct dirwatch_item *);

/* Compares now, and may call on_change.  Returns 0 or a negative errno. */
int dirwatch_compare(struct dirwatch_item *);

/* It is compared every `interval`, as inotify does not tell all. */
bool dirwatch_is_polled(const struct dirwatch_item *);

/*
 * Makes jobs of all events that are there now.  They are done when
 * dirwatch_is_done() says so of the ticket.
 */
uint64_t dirwatch_gather(struct dirwatch *);
bool dirwatch_is_done(const struct dirwatch *, uint64_t ticket);

#endif
