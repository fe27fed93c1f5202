#include "config.h"

#include "calendar.h"

#include "civil.h"

#define MINUTE_S 60
#define HOUR_S	 3600
#define HOURS	 24

/*
 * How far ahead a day is looked for, in months.  Weekdays come back after 28
 * years, or where a century has no leap day after 40: so 29 February on a
 * Sunday does.
 */
#define MONTHS_MAX (41 * 12)

/* Dates behind it are of no use to anybody. */
#define TIME_MAX (INT64_C(1) << 40)

/* --- local time ----------------------------------------------------------- */

/*
 * Here a time is local: seconds since 1970 began on the local clock.
 */

#define EVERY_HOUR ((UINT32_C(1) << HOURS) - 1)

/* Bit N: the month's day N is one. */
static uint32_t
calendar_days(const struct calendar *c, int64_t year, int month)
{
	int length = civil_month_length(year, month);
	int first = civil_weekday(civil_to_days(year, month, 1));
	uint32_t month_days = (UINT32_C(2) << length) - 2;
	uint64_t week, weekdays = 0;
	uint32_t days = c->days;

	if (!(c->months >> month & 1))
		return 0;
	if (c->last_day)
		days |= UINT32_C(1) << length;
	/* The seven bits, beginning with the weekday of the first. */
	week = (c->weekdays >> first | c->weekdays << (7 - first)) & 0x7f;
	for (int i = 0; i < 5; i++)
		weekdays |= week << (1 + 7 * i);
	days = c->both_days ? days & (uint32_t)weekdays :
			      days | (uint32_t)weekdays;
	return days & month_days;
}

/* The lowest bit of those from n on, or -1. */
static int
bit_from(uint64_t bits, int n)
{
	bits = n > 63 ? 0 : bits >> n << n;
	return bits == 0 ? -1 : __builtin_ctzll(bits);
}

/* The first time of the day from a second of it on, or -1. */
static int
calendar_time_from(const struct calendar *c, int from)
{
	int hour = from / HOUR_S, minute = from / MINUTE_S % 60;
	int second = bit_from(c->seconds, from % MINUTE_S);
	int first_second = bit_from(c->seconds, 0);
	int first_minute = bit_from(c->minutes, 0);

	if (c->hours >> hour & 1) {
		if (second >= 0 && (c->minutes >> minute & 1))
			return hour * HOUR_S + minute * MINUTE_S + second;
		minute = bit_from(c->minutes, minute + 1);
		if (minute >= 0)
			return hour * HOUR_S + minute * MINUTE_S + first_second;
	}
	hour = bit_from(c->hours, hour + 1);
	return hour < 0 ?
	    -1 :
	    hour * HOUR_S + first_minute * MINUTE_S + first_second;
}

/* The first time behind one. */
static int64_t
calendar_local_next(const struct calendar *c, int64_t behind)
{
	int64_t day = civil_div(behind + 1, DAY_S);
	struct civil date = civil_from_days(day);
	uint32_t days = calendar_days(c, date.year, date.month);
	int time = -1, from;

	if (days >> date.day & 1)
		time = calendar_time_from(c, (int)civil_mod(behind + 1, DAY_S));
	if (time >= 0)
		return day * DAY_S + time;
	from = date.day + 1;
	for (int i = 0; i < MONTHS_MAX; i++) {
		int next = bit_from(days, from);

		if (next >= 0)
			return civil_to_days(date.year, date.month, next) *
			    DAY_S +
			    calendar_time_from(c, 0);
		if (++date.month > 12) {
			date.month = 1;
			date.year++;
		}
		days = calendar_days(c, date.year, date.month);
		from = 1;
	}
	return CALENDAR_NEVER;
}

/* How many times a day has up to a second of it. */
static uint64_t
calendar_count_day(const struct calendar *c, int to)
{
	int hour = to / HOUR_S, minute = to / MINUTE_S % 60;
	int second = to % MINUTE_S;
	uint64_t seconds = __builtin_popcountll(c->seconds);
	uint64_t minutes = __builtin_popcountll(c->minutes);
	uint64_t n;

#define COUNT_BELOW(bits, n) \
	((uint64_t)__builtin_popcountll((bits) & ((UINT64_C(1) << (n)) - 1)))
	n = COUNT_BELOW(c->hours, hour) * minutes * seconds;
	if (!(c->hours >> hour & 1))
		return n;
	n += COUNT_BELOW(c->minutes, minute) * seconds;
	if (!(c->minutes >> minute & 1))
		return n;
	return n + COUNT_BELOW(c->seconds, second + 1);
#undef COUNT_BELOW
}

/* How many times lie between the begin of a month and the end of a second. */
static uint64_t
calendar_count_month(const struct calendar *c, struct civil date, int to)
{
	uint32_t days = calendar_days(c, date.year, date.month);
	uint32_t before = (UINT32_C(1) << date.day) - 1;
	uint64_t n = __builtin_popcount(days & before) *
	    calendar_count_day(c, DAY_S - 1);

	return days >> date.day & 1 ? n + calendar_count_day(c, to) : n;
}

/* Behind the one time, up to and with the other, which is not before it. */
static uint64_t
calendar_local_count(const struct calendar *c, int64_t behind, int64_t to)
{
	struct civil first = civil_from_days(civil_div(behind, DAY_S));
	struct civil last = civil_from_days(civil_div(to, DAY_S));
	uint64_t day = calendar_count_day(c, DAY_S - 1), n = 0;

	for (struct civil d = first;
	     d.year < last.year || d.month < last.month;) {
		n += __builtin_popcount(calendar_days(c, d.year, d.month)) *
		    day;
		if (++d.month > 12) {
			d.month = 1;
			d.year++;
		}
	}
	n += calendar_count_month(c, last, (int)civil_mod(to, DAY_S));
	return n -
	    calendar_count_month(c, first, (int)civil_mod(behind, DAY_S));
}

/* --- in a zone ------------------------------------------------------------ */

/*
 * Two moments whose local times are in the other order lie no further apart:
 * one clock is this far behind the other at most.
 */
#define DISORDER_MAX (2 * ZONE_OFFSET_MAX)

static bool
calendar_takes_every_hour(const struct calendar *c)
{
	return c->hours == EVERY_HOUR;
}

/*
 * Whenever the local clock shows one of its times.  With a span in which
 * there is none, those are left out that end before the clock can show the
 * next one; but not before it shows nothing earlier than what was looked at.
 */
static int64_t
calendar_next_shown(const struct calendar *c, const struct zone *zone,
    int64_t behind)
{
	int64_t t = behind + 1;

	while (t < TIME_MAX) {
		struct zone_span span;
		int64_t local, next;

		zone_span_at(zone, t, &span);
		local = t + span.offset;
		next = calendar_local_next(c, local - 1);
		if (next == CALENDAR_NEVER)
			break;
		if (next - span.offset < span.end)
			return next - span.offset;
		t = span.end;
		if (t - ZONE_OFFSET_MAX >= local && next - ZONE_OFFSET_MAX > t)
			t = next - ZONE_OFFSET_MAX;
	}
	return CALENDAR_NEVER;
}

/* The latest local time that the clock has shown up to some moment. */
static int64_t
zone_latest_shown(const struct zone *zone, int64_t moment)
{
	struct zone_span span;
	int64_t latest;

	zone_span_at(zone, moment, &span);
	latest = moment + span.offset;
	while (span.start > moment - DISORDER_MAX) {
		zone_span_at(zone, span.start - 1, &span);
		if (span.end - 1 + span.offset > latest)
			latest = span.end - 1 + span.offset;
	}
	return latest;
}

/* Each time once: when the clock first shows it, or something behind it. */
static int64_t
calendar_next_reached(const struct calendar *c, const struct zone *zone,
    int64_t behind)
{
	int64_t local = calendar_local_next(c, zone_latest_shown(zone, behind));
	int64_t t = behind + 1;

	if (local == CALENDAR_NEVER)
		return CALENDAR_NEVER;
	if (t < local - ZONE_OFFSET_MAX)
		t = local - ZONE_OFFSET_MAX;
	while (t < TIME_MAX) {
		struct zone_span span;

		zone_span_at(zone, t, &span);
		if (local - span.offset > t)
			t = local - span.offset;
		if (t < span.end)
			return t;
		t = span.end;
	}
	return CALENDAR_NEVER;
}

int64_t
calendar_next(const struct calendar *c, const struct zone *zone, int64_t behind)
{
	if (behind < -TIME_MAX)
		behind = -TIME_MAX;
	if (behind >= TIME_MAX)
		return CALENDAR_NEVER;
	return calendar_takes_every_hour(c) ?
	    calendar_next_shown(c, zone, behind) :
	    calendar_next_reached(c, zone, behind);
}

static uint64_t
calendar_count_shown(const struct calendar *c, const struct zone *zone,
    int64_t behind, int64_t to)
{
	uint64_t n = 0;

	for (int64_t t = behind + 1; t <= to;) {
		struct zone_span span;

		zone_span_at(zone, t, &span);
		if (span.end > to + 1)
			span.end = to + 1;
		n += calendar_local_count(c, t - 1 + span.offset,
		    span.end - 1 + span.offset);
		t = span.end;
	}
	return n;
}

static uint64_t
calendar_count_reached(const struct calendar *c, const struct zone *zone,
    int64_t behind, int64_t to)
{
	int64_t latest = zone_latest_shown(zone, behind);
	uint64_t n = 0;

	for (int64_t t = behind + 1; t <= to;) {
		struct zone_span span;
		int64_t first, last;

		zone_span_at(zone, t, &span);
		if (span.end > to + 1)
			span.end = to + 1;
		first = t + span.offset;
		last = span.end - 1 + span.offset;
		/* All that the clock went past at once are one. */
		if (first > latest) {
			n += calendar_local_count(c, latest, first) > 0;
			latest = first;
		}
		if (last > latest) {
			n += calendar_local_count(c, latest, last);
			latest = last;
		}
		t = span.end;
	}
	return n;
}

uint64_t
calendar_count(const struct calendar *c, const struct zone *zone,
    int64_t behind, int64_t to)
{
	if (behind < -TIME_MAX)
		behind = -TIME_MAX;
	if (to > TIME_MAX)
		to = TIME_MAX;
	if (to <= behind)
		return 0;
	return calendar_takes_every_hour(c) ?
	    calendar_count_shown(c, zone, behind, to) :
	    calendar_count_reached(c, zone, behind, to);
}
