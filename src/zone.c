#include "config.h"

#include "zone.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "civil.h"
#include "log.h"
#include "memory.h"

#define ZONE_DIRECTORY "/usr/share/zoneinfo"
#define ZONE_LOCAL     "/etc/localtime"
#define FILE_SIZE_MAX  (256 * 1024)
#define NAME_SIZE_MAX  255

/* A day of each year: one of the three forms that POSIX has. */
struct zone_day {
	enum { DAY_OF_YEAR, DAY_OF_YEAR_NO_LEAP, DAY_OF_MONTH } form;
	int day;	 /* of the year, from 0 or 1, by form; or weekday */
	int week, month; /* DAY_OF_MONTH: which such weekday; 5: the last */
	int32_t time;	 /* of that day, in seconds; -167 to 167 hours */
};

/* What goes on for ever behind the last transition. */
struct zone_rule {
	int32_t offset;
	bool summer; /* there is summer time as well: */
	int32_t summer_offset;
	struct zone_day begin, end;
};

struct zone {
	LIST_ENTRY(zone) entry; /* if it has a name */
	char *name;
	unsigned int refs;
	size_t n; /* transitions */
	int64_t *at;
	int32_t *offsets; /* n + 1: before the first one, and behind each */
	bool ruled;
	struct zone_rule rule; /* behind the last one, if ruled */
};

/* --- rules ---------------------------------------------------------------- */

/* A rule's text, as far as it is not read yet. */
struct text {
	const char *p, *end;
};

static bool
text_skip(struct text *t, char c)
{
	if (t->p == t->end || *t->p != c)
		return false;
	t->p++;
	return true;
}

static bool
text_number(struct text *t, int min, int max, int *number)
{
	const char *start = t->p;

	for (*number = 0; t->p < t->end && *t->p >= '0' && *t->p <= '9'; t->p++)
		if (*number <= max)
			*number = *number * 10 + *t->p - '0';
	return t->p > start && *number >= min && *number <= max;
}

/* Three letters or more, or anything in angle brackets. */
static bool
text_name(struct text *t)
{
	const char *start = t->p;

	if (text_skip(t, '<')) {
		while (t->p < t->end && *t->p != '>')
			t->p++;
		return text_skip(t, '>');
	}
	while (t->p < t->end && isalpha((unsigned char)*t->p))
		t->p++;
	return t->p - start >= 3;
}

/* [+-]hh[:mm[:ss]] */
static bool
text_time(struct text *t, int hours_max, int32_t *seconds)
{
	bool negative = text_skip(t, '-');
	int hours, minutes = 0, rest = 0;

	if (!negative)
		text_skip(t, '+');
	if (!text_number(t, 0, hours_max, &hours))
		return false;
	if (text_skip(t, ':') && !text_number(t, 0, 59, &minutes))
		return false;
	if (text_skip(t, ':') && !text_number(t, 0, 59, &rest))
		return false;
	*seconds = hours * 3600 + minutes * 60 + rest;
	if (negative)
		*seconds = -*seconds;
	return true;
}

static bool
text_day(struct text *t, struct zone_day *day)
{
	day->time = 2 * 3600;
	if (text_skip(t, 'M')) {
		day->form = DAY_OF_MONTH;
		if (!text_number(t, 1, 12, &day->month) || !text_skip(t, '.') ||
		    !text_number(t, 1, 5, &day->week) || !text_skip(t, '.') ||
		    !text_number(t, 0, 6, &day->day))
			return false;
	} else if (text_skip(t, 'J')) {
		day->form = DAY_OF_YEAR_NO_LEAP;
		if (!text_number(t, 1, 365, &day->day))
			return false;
	} else {
		day->form = DAY_OF_YEAR;
		if (!text_number(t, 0, 365, &day->day))
			return false;
	}
	return !text_skip(t, '/') || text_time(t, 167, &day->time);
}

static bool
zone_rule_parse(struct zone_rule *rule, const char *s, size_t len)
{
	/* Where a rule has summer time and does not say when. */
	static const char usual[] = ",M3.2.0,M11.1.0";
	struct text t = { s, s + len };

	if (!text_name(&t) || !text_time(&t, 24, &rule->offset))
		return false;
	rule->offset = -rule->offset; /* what is west is positive there */
	rule->summer = t.p < t.end;
	if (!rule->summer)
		return true;
	if (!text_name(&t))
		return false;
	rule->summer_offset = rule->offset + 3600;
	if (t.p < t.end && *t.p != ',') {
		if (!text_time(&t, 24, &rule->summer_offset))
			return false;
		rule->summer_offset = -rule->summer_offset;
	}
	if (t.p == t.end)
		t = (struct text){ usual, usual + sizeof(usual) - 1 };
	return text_skip(&t, ',') && text_day(&t, &rule->begin) &&
	    text_skip(&t, ',') && text_day(&t, &rule->end) && t.p == t.end;
}

/* The local time, in seconds since the Epoch, that a day and time are at. */
static int64_t
zone_day_at(const struct zone_day *day, int64_t year)
{
	int64_t days = civil_to_days(year, 1, 1);
	int first, last;

	switch (day->form) {
	case DAY_OF_YEAR:
		days += day->day;
		break;
	case DAY_OF_YEAR_NO_LEAP:
		days += day->day - 1;
		if (day->day >= 60 && civil_month_length(year, 2) == 29)
			days++;
		break;
	case DAY_OF_MONTH:
		days = civil_to_days(year, day->month, 1);
		first = (day->day - civil_weekday(days) + 7) % 7;
		last = civil_month_length(year, day->month) - 1;
		days += first + (day->week - 1) * 7;
		if (first + (day->week - 1) * 7 > last)
			days -= 7;
		break;
	}
	return days * DAY_S + day->time;
}

/* --- spans ---------------------------------------------------------------- */

/* By the rule; two transitions a year, which may lie in the year beside it. */
static void
zone_rule_span(const struct zone_rule *rule, int64_t t, struct zone_span *span)
{
	int64_t year = civil_from_days(civil_div(t, DAY_S)).year;

	*span = (struct zone_span){ INT64_MIN, INT64_MAX, rule->offset };
	if (!rule->summer)
		return;
	for (int64_t y = year - 2; y <= year + 2; y++) {
		struct zone_span two[] = {
			{ zone_day_at(&rule->begin, y) - rule->offset, 0,
			    rule->summer_offset },
			{ zone_day_at(&rule->end, y) - rule->summer_offset, 0,
			    rule->offset },
		};
		int late = two[0].start > two[1].start;

		for (int i = 0; i < 2; i++) {
			const struct zone_span *at = &two[i ^ late];

			if (at->start <= t) {
				span->start = at->start;
				span->offset = at->offset;
			} else if (at->start < span->end) {
				span->end = at->start;
			}
		}
	}
}

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
	zone_rule_span(&zone->rule, t, span);
	if (span->start < start)
		span->start = start;
}

/* --- files ---------------------------------------------------------------- */

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
	    h->timecnt < FILE_SIZE_MAX;
}

static size_t
header_data_size(const struct header *h, size_t time_size)
{
	return (size_t)h->timecnt * (time_size + 1) + (size_t)h->typecnt * 6 +
	    h->charcnt + (size_t)h->leapcnt * (time_size + 4) + h->isstdcnt +
	    h->isutcnt;
}

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
	return !zone->ruled || zone_rule_parse(&zone->rule, rule, lf - rule);
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

	zone->ruled = zone_rule_parse(&zone->rule, s, len);
	if (zone->ruled)
		return zone;
	zone_free(zone);
	return NULL;
}

static struct zone *
zone_read(int fd, size_t size, int *err)
{
	unsigned char *bytes = memory_alloc(size);
	struct zone *zone = NULL;
	ssize_t n = read(fd, bytes, size);

	if (n < 0)
		*err = -errno;
	else
		zone = zone_parse(bytes, n);
	free(bytes);
	return zone;
}

/* Whatever else may lie there must neither block nor be read. */
static int
zone_load(int directory, const char *path, struct zone **zone)
{
	int fd = openat(directory, path,
	    O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	int err = -EINVAL;
	struct stat st;

	*zone = NULL;
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		err = -errno;
	else if (S_ISREG(st.st_mode) && st.st_size > 0 &&
	    st.st_size <= FILE_SIZE_MAX)
		*zone = zone_read(fd, st.st_size, &err);
	close(fd);
	return *zone == NULL ? err : 0;
}

/* --- names ---------------------------------------------------------------- */

/*
 * Words with slashes between them; a word begins with no dot, so that no name
 * leads out of the directory.
 */
static bool
zone_name_is_good(const char *name, size_t len)
{
	bool begins = true;

	if (len == 0 || len > NAME_SIZE_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = name[i];

		if (!isalnum(c) && (begins || c == '\0' || !strchr("/_+-", c)))
			return false;
		begins = c == '/';
	}
	return !begins;
}

static int
zones_load(struct zones *zones, const char *name, struct zone **zone)
{
	int directory = open(zones->directory,
	    O_PATH | O_DIRECTORY | O_CLOEXEC);
	int err;

	if (directory < 0)
		return -errno;
	err = zone_load(directory, name, zone);
	close(directory);
	return err;
}

/* Errors of which the name is the cause. */
static bool
zone_is_unknown(int err)
{
	return err == -ENOENT || err == -ENOTDIR || err == -ENAMETOOLONG ||
	    err == -ELOOP || err == -EISDIR || err == -ENXIO;
}

int
zones_find(struct zones *zones, const char *name, size_t len,
    struct zone **found)
{
	struct zone *zone;
	char *copy;
	int err;

	if (!zone_name_is_good(name, len))
		return -EINVAL;
	LIST_FOREACH(zone, &zones->named, entry) {
		if (strlen(zone->name) != len ||
		    memcmp(zone->name, name, len) != 0)
			continue;
		zone->refs++;
		*found = zone;
		return 0;
	}
	copy = memory_copy(name, len);
	err = zones_load(zones, copy, &zone);
	if (err < 0) {
		free(copy);
		return zone_is_unknown(err) ? -EINVAL : err;
	}
	zone->name = copy;
	LIST_INSERT_HEAD(&zones->named, zone, entry);
	*found = zone;
	return 0;
}

struct zone *
zones_own(struct zones *zones)
{
	zones->own->refs++;
	return zones->own;
}

const char *
zone_name(const struct zone *zone)
{
	return zone->name;
}

void
zone_unref(struct zone *zone)
{
	if (--zone->refs == 0)
		zone_free(zone);
}

/* A path, a name or a rule, as in TZ. */
static int
zones_load_own(struct zones *zones, const char *tz, struct zone **zone)
{
	if (*tz == '/')
		return zone_load(AT_FDCWD, tz, zone);
	if (zone_name_is_good(tz, strlen(tz)) &&
	    zones_load(zones, tz, zone) == 0)
		return 0;
	*zone = zone_parse_rule(tz, strlen(tz));
	return *zone == NULL ? -EINVAL : 0;
}

void
zones_init(struct zones *zones)
{
	const char *tz = getenv("TZ");
	int err;

	zones->directory = getenv("TZDIR");
	if (zones->directory == NULL || *zones->directory != '/')
		zones->directory = ZONE_DIRECTORY;
	LIST_INIT(&zones->named);

	if (tz == NULL)
		tz = ZONE_LOCAL;
	else if (*tz == ':')
		tz++;
	err = zones_load_own(zones, *tz == '\0' ? "UTC0" : tz, &zones->own);
	if (err == 0)
		return;
	if (getenv("TZ") != NULL || err != -ENOENT)
		log_warning("the time zone %s can't be read (%s): it is UTC",
		    tz, strerror(-err));
	zones->own = zone_parse_rule("UTC0", 4);
}

void
zones_fini(struct zones *zones)
{
	zone_unref(zones->own);
}
