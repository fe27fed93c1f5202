#include "config.h"

#include "tzrule.h"

#include <ctype.h>

#include "civil.h"

/* --- reading ---------------------------------------------------------------- */

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
text_day(struct text *t, struct tzrule_day *day)
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

bool
tzrule_parse(struct tzrule *rule, const char *s, size_t len)
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

/* --- asking ----------------------------------------------------------------- */

/* The local time, in seconds since the Epoch, that a day and time are at. */
static int64_t
tzrule_day_at(const struct tzrule_day *day, int64_t year)
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

/* Two transitions a year, which may lie in the year beside it. */
void
tzrule_span(const struct tzrule *rule, int64_t t, struct zone_span *span)
{
	int64_t year = civil_from_days(civil_div(t, DAY_S)).year;

	*span = (struct zone_span){ INT64_MIN, INT64_MAX, rule->offset };
	if (!rule->summer)
		return;
	for (int64_t y = year - 2; y <= year + 2; y++) {
		struct zone_span two[] = {
			{ tzrule_day_at(&rule->begin, y) - rule->offset, 0,
			    rule->summer_offset },
			{ tzrule_day_at(&rule->end, y) - rule->summer_offset, 0,
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
