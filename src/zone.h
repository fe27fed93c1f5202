#ifndef EVD_ZONE_H
#define EVD_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "tzrule.h"

/*
 * A time zone, as a file of tzdata (RFC 9636) has it.  libc knows one zone a
 * process; here a zone is an object.
 *
 * To those who use it a zone is a row of spans, without beginning and end, in
 * each of which local time is UTC plus one offset.  Some transitions from one
 * to the next are listed, and behind the last one a rule may go on for ever.
 */
struct zone {
	LIST_ENTRY(zone) entry; /* where it is found, if it has a name */
	char *name;		/* owned; or NULL */
	unsigned int refs;
	size_t n; /* transitions */
	int64_t *at;
	int32_t *offsets; /* n + 1: before the first one, and behind each */
	bool ruled;
	struct tzrule rule; /* behind the last one, if ruled */
};

/* No zone is further away from UTC. */
#define ZONE_OFFSET_MAX (26 * 3600)
/* Nor is any file of one larger, in bytes. */
#define ZONE_FILE_SIZE_MAX (256 * 1024)

/* The span that a second is in. */
void zone_span_at(const struct zone *, int64_t, struct zone_span *);

struct zone *zone_ref(struct zone *);
/* The last one to do so frees it, and takes it out of where it is found. */
void zone_unref(struct zone *);

/* Of a zone that was found by name; NULL: the daemon's own. */
const char *zone_name(const struct zone *);

/*
 * From the bytes of a file, and from a rule in the form of POSIX's TZ; NULL
 * if that is none.  It goes back with zone_unref().
 */
struct zone *zone_parse(const void *, size_t);
struct zone *zone_parse_rule(const char *, size_t);

#endif
