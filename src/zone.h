#ifndef EVD_ZONE_H
#define EVD_ZONE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/*
 * Time zones, read from the files of tzdata (RFC 9636).  libc knows one zone
 * a process, and opens whatever path it is told to; here a zone is an object,
 * and of a client's text only what is a zone's name is ever opened.
 *
 * To those who use it a zone is a row of spans, without beginning and end, in
 * each of which local time is UTC plus one offset.
 */
struct zone;

struct zone_span {
	int64_t start;	/* first second, since the Epoch; INT64_MIN: none */
	int64_t end;	/* the first that is not in it; INT64_MAX: none */
	int32_t offset; /* local time is that many seconds ahead of UTC */
};

/* No zone is further away from UTC. */
#define ZONE_OFFSET_MAX (26 * 3600)

/* The span that a second is in. */
void zone_span_at(const struct zone *, int64_t, struct zone_span *);

/* Zones that are in use, by name, and the daemon's own. */
struct zones {
	LIST_HEAD(, zone) named;
	struct zone *own;
	const char *directory;
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
void zone_unref(struct zone *);

/* Of a zone that was found by name; NULL: the daemon's own. */
const char *zone_name(const struct zone *);

/*
 * From the bytes of a file, and from a rule in the form of POSIX's TZ; NULL
 * if that is none.  For tests.
 */
struct zone *zone_parse(const void *, size_t);
struct zone *zone_parse_rule(const char *, size_t);

#endif
