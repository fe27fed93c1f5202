#ifndef EVD_PLACE_H
#define EVD_PLACE_H

#include <ev.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "jobs.h"
#include "marks.h"
#include "mounts.h"
#include "table.h"

/*
 * The tree of places that somebody asks about, and what happens at them.
 *
 * A place is a path from the root without links, "." and empty components:
 * that of its parent and a name.  It lives while it has references, from its
 * children and from whoever is anchored there.  What is there is marked, so
 * what changes about it makes an event.
 *
 * An event about a place makes a job: to look at the place again and, if it is
 * another one now, at all below, and to visit what is anchored there.  A sweep
 * of a place visits its children and its anchors; what it has visited has
 * `seen` as the place has `sweep`, and stands at the end of its list.  A new
 * sweep may begin while one is on: all is unseen then, and what was not
 * reached stands in front.
 */
enum place_kind {
	PLACE_UNKNOWN,
	PLACE_MISSING,
	PLACE_DIRECTORY,
	PLACE_LINK,
	PLACE_FILE,
};

struct places {
	struct jobs *jobs; /* borrowed; those of places are of kind 0 */
	struct marks marks;
	struct mounts mounts; /* open while there is any place */
	struct table table;   /* by parent and name */
	struct place *root;   /* while there is any place */
};

TAILQ_HEAD(place_list, place);
TAILQ_HEAD(anchor_list, dirwatch_anchor);

struct place {
	struct table_node node;
	struct job job;
	struct mark_user user; /* the mark of what is there */
	struct places *places;
	struct place *parent; /* NULL: the root */
	struct place_list children;
	TAILQ_ENTRY(place) sibling;
	struct anchor_list anchors; /* their owners' to keep */
	uint32_t refs;
	uint32_t sweep;
	uint32_t seen;
	int err; /* why what is there has no mark */
	uint8_t kind;
	bool fresh : 1; /* what changes here makes an event */
	/* What the job is to do. */
	bool look : 1;	  /* see what is there now */
	bool force : 1;	  /* all ways through here may lead elsewhere */
	bool touched : 1; /* there was an event about the file itself */
	uint8_t name_len;
	char name[];
};

#define PLACE_OF_JOB(j) \
	((struct place *)((char *)(j)-offsetof(struct place, job)))

/* The jobs are the caller's, and live longer. */
void places_init(struct places *, struct jobs *, struct ev_loop *);
/* There are no places any more. */
void places_fini(struct places *);

/* Makes jobs of all events that are there now. */
void places_gather(struct places *);

/* Each returns a place that goes back with place_unref(). */
struct place *place_root(struct places *);
/* len is at most NAME_MAX. */
struct place *place_child(struct place *parent, const char *name, size_t len);
struct place *place_ref(struct place *);
/* May free it, and parents of it that nobody else asks about. */
void place_unref(struct place *);

/* Returns the path, inside of bytes, or NULL if it is too long. */
const char *place_path(const struct place *, char bytes[PATH_MAX]);

/*
 * Sees what is there, and marks it; if that is something else than before,
 * lets a sweep of all below begin.  The parent is fresh, or never will be.
 */
void place_look(struct place *);

/*
 * One step of its job, as far as that is about places.  Returns false when
 * nothing of that is left: then what is anchored there is to be visited, and
 * place_settle() ends the job.
 */
bool place_step(struct place *);
void place_settle(struct place *);

/* The wd of its mark, or -1: see marks.h. */
static inline int
place_wd(const struct place *p)
{
	return p->user.mark == NULL ? -1 : p->user.mark->wd;
}

static inline bool
place_is_deaf(const struct place *p)
{
	return p->user.mark != NULL && p->user.mark->deaf;
}

static inline bool
place_is_coarse(const struct place *p)
{
	return p->user.mark != NULL && p->user.mark->coarse;
}

#endif
