#ifndef EVD_TZRULE_H
#define EVD_TZRULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A rule for local time in the form of POSIX's TZ: an offset, and when in each
 * year there is summer time.
 */

/* While local time is UTC plus one offset. */
struct zone_span {
	int64_t start;	/* first second, since the Epoch; INT64_MIN: none */
	int64_t end;	/* the first that is not in it; INT64_MAX: none */
	int32_t offset; /* local time is that many seconds ahead of UTC */
};

/* A day of each year: one of the three forms that POSIX has. */
struct tzrule_day {
	enum { DAY_OF_YEAR, DAY_OF_YEAR_NO_LEAP, DAY_OF_MONTH } form;
	int day;	 /* of the year, from 0 or 1, by form; or weekday */
	int week, month; /* DAY_OF_MONTH: which such weekday; 5: the last */
	int32_t time;	 /* of that day, in seconds; -167 to 167 hours */
};

struct tzrule {
	int32_t offset;
	bool summer; /* there is summer time as well: */
	int32_t summer_offset;
	struct tzrule_day begin, end;
};

/* Returns false if the text is no rule. */
bool tzrule_parse(struct tzrule *, const char *, size_t);

/* The span that a second is in, if the rule was always so. */
void tzrule_span(const struct tzrule *, int64_t, struct zone_span *);

#endif
