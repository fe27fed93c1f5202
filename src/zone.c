#include "config.h"

#include "zone.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"

/* --- life ------------------------------------------------------------------- */

static struct zone *
zone_new(size_t n)
{
	struct zone *zone = memory_zalloc(sizeof(*zone));

	zone->refs = 1;
	zone->n = n;
	zone->at = memory_zalloc((n + 1) * sizeof(*zone->at));
	zone->offsets = memory_zalloc((n + 1) * sizeof(*zone->offsets));
	return zone;
}

static void
zone_free(struct zone *zone)
{
	if (zone->name != NULL)
		LIST_REMOVE(zone, entry);
	free(zone->name);
	free(zone->at);
	free(zone->offsets);
	free(zone);
}

struct zone *
zone_ref(struct zone *zone)
{
	zone->refs++;
	return zone;
}

void
zone_unref(struct zone *zone)
{
	if (--zone->refs == 0)
		zone_free(zone);
}

const char *
zone_name(const struct zone *zone)
{
	return zone->name;
}

/* --- its spans -------------------------------------------------------------- */

/* How many transitions lie at or before a second. */
static size_t
zone_count_before(const struct zone *zone, int64_t t)
{
	size_t low = 0, high = zone->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (zone->at[middle] <= t)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void
zone_span_at(const struct zone *zone, int64_t t, struct zone_span *span)
{
	size_t i = zone_count_before(zone, t);
	int64_t start = i == 0 ? INT64_MIN : zone->at[i - 1];

	if (i < zone->n || !zone->ruled) {
		*span = (struct zone_span){ start,
			i < zone->n ? zone->at[i] : INT64_MAX,
			zone->offsets[i] };
		return;
	}
	tzrule_span(&zone->rule, t, span);
	if (span->start < start)
		span->start = start;
}

/* --- the bytes of a file ---------------------------------------------------- */

#define HEADER_SIZE 44

struct header {
	uint32_t isutcnt, isstdcnt, leapcnt, timecnt, typecnt, charcnt;
};

static uint64_t
big_endian(const unsigned char *p, int size)
{
	uint64_t n = 0;

	for (int i = 0; i < size; i++)
		n = n << 8 | p[i];
	return n;
}

static bool
header_read(struct header *h, const unsigned char *p, size_t len)
{
	if (len < HEADER_SIZE || memcmp(p, "TZif", 4) != 0)
		return false;
	h->isutcnt = (uint32_t)big_endian(p + 20, 4);
	h->isstdcnt = (uint32_t)big_endian(p + 24, 4);
	h->leapcnt = (uint32_t)big_endian(p + 28, 4);
	h->timecnt = (uint32_t)big_endian(p + 32, 4);
	h->typecnt = (uint32_t)big_endian(p + 36, 4);
	h->charcnt = (uint32_t)big_endian(p + 40, 4);
	/* Seconds since the Epoch have no leap seconds, here as in POSIX. */
	return h->typecnt > 0 && h->typecnt <= 256 && h->leapcnt == 0 &&
	    h->timecnt < ZONE_FILE_SIZE_MAX;
}

static size_t
header_data_size(const struct header *h, size_t time_size)
{
	return (size_t)h->timecnt * (time_size + 1) + (size_t)h->typecnt * 6 +
	    h->charcnt + (size_t)h->leapcnt * (time_size + 4) + h->isstdcnt +
	    h->isutcnt;
}

static bool
offset_is_good(int64_t offset)
{
	return offset >= -ZONE_OFFSET_MAX && offset <= ZONE_OFFSET_MAX;
}

/* The transitions, in order, and the offsets; false if they are nonsense. */
static bool
zone_read_data(struct zone *zone, const struct header *h,
    const unsigned char *p, int time_size)
{
	const unsigned char *indexes = p + (size_t)h->timecnt * time_size;
	const unsigned char *types = indexes + h->timecnt;

	for (size_t i = 0; i <= h->timecnt; i++) {
		/* What is before the first transition has the first type. */
		size_t type = i == 0 ? 0 : indexes[i - 1];

		if (type >= h->typecnt)
			return false;
		zone->offsets[i] = (int32_t)big_endian(types + type * 6, 4);
		if (!offset_is_good(zone->offsets[i]))
			return false;
	}
	for (size_t i = 0; i < h->timecnt; i++) {
		uint64_t time = big_endian(p + i * time_size, time_size);

		zone->at[i] = time_size == 4 ? (int32_t)time : (int64_t)time;
		if (i > 0 && zone->at[i] <= zone->at[i - 1])
			return false;
	}
	return true;
}

/* LF, rule, LF; the rule may be empty. */
static bool
zone_read_footer(struct zone *zone, const unsigned char *p, size_t len)
{
	const char *rule = (const char *)p + 1;
	const char *lf;

	if (len < 2 || *p != '\n')
		return false;
	lf = memchr(rule, '\n', len - 1);
	if (lf == NULL)
		return false;
	zone->ruled = lf > rule;
	return !zone->ruled || tzrule_parse(&zone->rule, rule, lf - rule);
}

struct zone *
zone_parse(const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	int time_size = 4;
	struct header h;
	struct zone *zone;
	size_t size;

	if (!header_read(&h, p, len))
		return NULL;
	/* From version 2 on the same follows once more, with longer times. */
	if (p[4] >= '2') {
		size = HEADER_SIZE + header_data_size(&h, 4);
		if (size > len || !header_read(&h, p + size, len - size))
			return NULL;
		p += size;
		len -= size;
		time_size = 8;
	}
	size = HEADER_SIZE + header_data_size(&h, time_size);
	if (size > len)
		return NULL;
	zone = zone_new(h.timecnt);
	if (zone_read_data(zone, &h, p + HEADER_SIZE, time_size) &&
	    (time_size == 4 || zone_read_footer(zone, p + size, len - size)))
		return zone;
	zone_free(zone);
	return NULL;
}

struct zone *
zone_parse_rule(const char *s, size_t len)
{
	struct zone *zone = zone_new(0);

	zone->ruled = tzrule_parse(&zone->rule, s, len);
	if (zone->ruled)
		return zone;
	zone_free(zone);
	return NULL;
}
