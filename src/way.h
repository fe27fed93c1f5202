#ifndef EVD_WAY_H
#define EVD_WAY_H

#include <limits.h>
#include <stdbool.h>

#include "place.h"

/*
 * The way along a path, from the root: each directory on it is marked, and the
 * file itself, before what is in it is looked up, so that whatever is changed
 * later makes an event.  Where a component is a symbolic link that is to be
 * followed, the way goes on from its target, and the link's own place is kept
 * as well.  Where a component is missing the way ends.
 */
#define WAY_LINKS_MAX 40   /* followed on one way, as the kernel does */
#define WAY_DEAF      (-1) /* a reason beside errno's: the file system is deaf */

struct way {
	/*
	 * The places of the links, and last where the way ends, unless that is
	 * one of the links; referenced.
	 */
	struct place *anchors[WAY_LINKS_MAX + 1];
	unsigned n;
	bool complete; /* no component is missing: the last one is the file's */
	/* Why not all of it makes events: an errno, WAY_DEAF, or 0. */
	int reason;

	/* Private. */
	struct place *at;	 /* referenced */
	char rest[2 * PATH_MAX]; /* still to go from there */
	unsigned links;
	bool follow; /* the last component too */
};

/*
 * Goes all of it.  The path is absolute, and shorter than PATH_MAX; follow: its
 * last component too.  The marks are open.
 */
void way_go(struct way *, struct places *, const char *path, bool follow);
/* Gives the references back, if the caller has not taken them. */
void way_drop(struct way *);

#endif
