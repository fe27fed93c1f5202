#include "config.h"

#include "calendar.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

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

/* --- parsing -------------------------------------------------------------- */

enum { SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS };

static const char *const month_names[] = { "JAN", "FEB", "MAR", "APR", "MAY",
	"JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC", NULL };
static const char *const weekday_names[] = { "SUN", "MON", "TUE", "WED", "THU",
	"FRI", "SAT", NULL };

static const struct field_info {
	const char *name;
	int min, max;
	int top; /* where * and N/STEP end; Sunday is also a 7 */
	const char *const *names; /* of the numbers from min on, or NULL */
	const char *expected;
} field_infos[FIELDS] = {
	[SECOND] = { "second", 0, 59, 59, NULL, "numbers from 0 to 59" },
	[MINUTE] = { "minute", 0, 59, 59, NULL, "numbers from 0 to 59" },
	[HOUR] = { "hour", 0, 23, 23, NULL, "numbers from 0 to 23" },
	[DAY] = { "day of month", 1, 31, 31, NULL,
	    "numbers from 1 to 31, or L for the last day" },
	[MONTH] = { "month", 1, 12, 12, month_names,
	    "numbers from 1 to 12, or JAN to DEC" },
	[WEEKDAY] = { "day of week", 0, 7, 6, weekday_names,
	    "numbers from 0 to 7, or SUN to SAT" },
};

static const struct {
	const char *name;
	const char *expression;
} shortcuts[] = {
	{ "@hourly", "0 * * * *" },
	{ "@daily", "0 0 * * *" },
	{ "@midnight", "0 0 * * *" },
	{ "@weekly", "0 0 * * 0" },
	{ "@monthly", "0 0 1 * *" },
	{ "@yearly", "0 0 1 1 *" },
	{ "@annually", "0 0 1 1 *" },
};
#define SHORTCUTS (sizeof(shortcuts) / sizeof(shortcuts[0]))

struct text {
	const char *p;
	size_t len;
};

struct field {
	const struct field_info *info;
	int number;	  /* in the expression, from 1 */
	struct text text; /* all of it */
	uint64_t bits;
	bool last_day;
	char *fault;
};

/* The part of the text up to one of these, which it goes behind. */
static struct text
text_cut(struct text *text, const char *separators)
{
	struct text part = { text->p, 0 };

	while (part.len < text->len &&
	    memchr(separators, part.p[part.len], strlen(separators)) == NULL)
		part.len++;
	text->p += part.len;
	text->len -= part.len;
	return part;
}

static bool
text_skip(struct text *text, char c)
{
	if (text->len == 0 || *text->p != c)
		return false;
	text->p++;
	text->len--;
	return true;
}

static bool
text_is(struct text text, const char *s)
{
	return strlen(s) == text.len && strncasecmp(s, text.p, text.len) == 0;
}

/* Of a text that is shown: not too much, and no half of a character. */
static int
text_shown(struct text text)
{
	size_t len = text.len;

	if (len <= 48)
		return (int)len;
	for (len = 48; len > 0 && (text.p[len] & 0xc0) == 0x80;)
		len--;
	return (int)len;
}

static int
field_wrong(const struct field *field, struct text part, const char *expected)
{
	struct text text = field->text;
	bool whole = part.len == text.len;

	snprintf(field->fault, CALENDAR_FAULT_SIZE,
	    "field %d (%s) is \"%.*s\"%s%.*s%s, expected %s", field->number,
	    field->info->name, text_shown(text), text.p,
	    whole ? "" : " with \"", whole ? 0 : text_shown(part), part.p,
	    whole ? "" : "\"", expected);
	return -1;
}

static bool
field_number(const struct field_info *info, struct text text, int *number)
{
	for (int i = 0; info->names != NULL && info->names[i] != NULL; i++)
		if (text_is(text, info->names[i])) {
			*number = info->min + i;
			return true;
		}
	*number = 0;
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] < '0' || text.p[i] > '9' || i == 4)
			return false;
		*number = *number * 10 + text.p[i] - '0';
	}
	return text.len > 0 && *number >= info->min && *number <= info->max;
}

/* *, N or N-N: from and to. */
static int
field_range(const struct field *field, struct text part, struct text range,
    bool *open, int *from, int *to)
{
	const struct field_info *info = field->info;
	struct text first = text_cut(&range, "-");

	*open = true;
	*from = info->min;
	*to = info->top;
	if (range.len == 0 && text_is(first, "*"))
		return 0;
	if (!field_number(info, first, from))
		return field_wrong(field, part, info->expected);
	if (!text_skip(&range, '-'))
		return 0;
	*open = false;
	if (!field_number(info, range, to))
		return field_wrong(field, part, info->expected);
	/* A week may end with its Sunday. */
	if (info->names == weekday_names && *to == 0 && *from > 0 &&
	    text_is(range, "SUN"))
		*to = 7;
	if (*to < *from)
		return field_wrong(field, part,
		    "a range that ends behind its begin");
	return 0;
}

/* One of the parts of a list. */
static int
field_part(struct field *field, struct text part)
{
	const struct field_info *info = field->info;
	struct text rest = part, range = text_cut(&rest, "/");
	int from, to, step = 1;
	bool open;

	if (info == &field_infos[DAY] && text_is(part, "L")) {
		field->last_day = true;
		return 0;
	}
	if (field_range(field, part, range, &open, &from, &to) < 0)
		return -1;
	if (text_skip(&rest, '/')) {
		static const struct field_info steps = { .min = 1, .max = 60 };

		if (!field_number(&steps, rest, &step) ||
		    step > info->top - info->min + 1)
			return field_wrong(field, part,
			    "a step from 1 up to what the field has");
	} else if (open && !text_is(range, "*")) {
		to = from;
	}
	field->bits |= UINT64_C(1) << from;
	for (int n = from; n <= to; n += step)
		field->bits |= UINT64_C(1) << n;
	return 0;
}

static int
field_parse(struct field *field)
{
	struct text rest = field->text;

	do {
		struct text part = text_cut(&rest, ",");

		if (part.len == 0)
			return field_wrong(field, field->text,
			    "no empty part in the list");
		if (field_part(field, part) < 0)
			return -1;
	} while (text_skip(&rest, ','));
	return 0;
}

/* Blanks before it are skipped; of length 0 at the end. */
static struct text
next_word(struct text *text)
{
	while (text_skip(text, ' ') || text_skip(text, '\t'))
		continue;
	return text_cut(text, " \t");
}

static int
calendar_expand(struct text *text, char *fault)
{
	struct text rest = *text, word = next_word(&rest);
	int n;

	if (word.len == 0 || word.p[0] != '@')
		return 0;
	for (size_t i = 0; i < SHORTCUTS && next_word(&rest).len == 0; i++)
		if (strlen(shortcuts[i].name) == word.len &&
		    memcmp(shortcuts[i].name, word.p, word.len) == 0) {
			*text = (struct text){ shortcuts[i].expression,
				strlen(shortcuts[i].expression) };
			return 0;
		}
	n = snprintf(fault, CALENDAR_FAULT_SIZE, "expected one of:");
	for (size_t i = 0; i < SHORTCUTS; i++)
		n += snprintf(fault + n, CALENDAR_FAULT_SIZE - n, "%s %s",
		    i > 0 ? "," : "", shortcuts[i].name);
	return -1;
}

/* Five words, or six; without seconds, at the first one of the minute. */
static int
calendar_split(struct text text, struct field *fields, char *fault)
{
	struct text words[FIELDS], word;
	int n = 0;

	while ((word = next_word(&text)).len > 0) {
		if (n < FIELDS)
			words[n] = word;
		n++;
	}
	if (n != FIELDS && n != FIELDS - 1) {
		snprintf(fault, CALENDAR_FAULT_SIZE,
		    "it has %d field%s, expected 5 (minute, hour, day of "
		    "month, month, day of week), or 6 with a second before",
		    n, n == 1 ? "" : "s");
		return -1;
	}
	for (int i = 0; i < FIELDS; i++) {
		int skipped = FIELDS - n;
		bool given = i >= skipped;

		fields[i] = (struct field){
			.info = &field_infos[i],
			.number = i - skipped + 1,
			.text = given ? words[i - skipped] :
					(struct text){ "0", 1 },
			.fault = fault,
		};
	}
	return 0;
}

/* Whether there is such a day in any year, if both fields count. */
static bool
calendar_comes(const struct calendar *c)
{
	if (!c->both_days || c->last_day)
		return true;
	for (int month = 1; month <= 12; month++) {
		int length = civil_month_length(2000, month);
		uint32_t days = (UINT32_C(2) << length) - 1;

		if ((c->months >> month & 1) && (c->days & days) > 0)
			return true;
	}
	return false;
}

int
calendar_parse(struct calendar *c, const char *s, size_t len, char *fault)
{
	struct field fields[FIELDS];
	struct text text = { s, len };

	if (calendar_expand(&text, fault) < 0 ||
	    calendar_split(text, fields, fault) < 0)
		return -1;
	for (int i = 0; i < FIELDS; i++)
		if (field_parse(&fields[i]) < 0)
			return -1;
	*c = (struct calendar){
		.seconds = fields[SECOND].bits,
		.minutes = fields[MINUTE].bits,
		.hours = (uint32_t)fields[HOUR].bits,
		.days = (uint32_t)fields[DAY].bits,
		.months = (uint32_t)fields[MONTH].bits,
		.weekdays = (uint8_t)((fields[WEEKDAY].bits |
					  fields[WEEKDAY].bits >> 7) &
		    0x7f),
		.last_day = fields[DAY].last_day,
		/* A * says that the other field alone decides. */
		.both_days = fields[DAY].text.p[0] == '*' ||
		    fields[WEEKDAY].text.p[0] == '*',
	};
	if (calendar_comes(c))
		return 0;
	return field_wrong(&fields[DAY], fields[DAY].text,
	    "a day that one of the months has: this one never comes");
}

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
