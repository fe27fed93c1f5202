#ifndef EVD_ZONES_H
#define EVD_ZONES_H

#include <stddef.h>
#include <sys/queue.h>

#include "zone.h"

/*
 * The time zones that are in use, by name, and the daemon's own.  libc opens
 * whatever path it is told to; here, of a client's text, only what is a zone's
 * name is ever opened.
 */
struct zones {
	LIST_HEAD(, zone) named;
	struct zone *own;
	const char *directory; /* of tzdata */
};

/*
 * Reads the daemon's own zone, from TZ or /etc/localtime as libc does, and
 * logs if there is none: then it is UTC.
 */
void zones_init(struct zones *);
/* All zones are back. */
void zones_fini(struct zones *);

/* A zone goes back with zone_unref(). */
struct zone *zones_own(struct zones *);
/*
 * Returns 0, or a negative errno: -EINVAL there is no zone of that name, any
 * other one reading it failed.
 */
int zones_find(struct zones *, const char *name, size_t len, struct zone **);

#endif
