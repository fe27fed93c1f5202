#ifndef EVD_CIVIL_H
#define EVD_CIVIL_H

#include <stdint.h>

/*
 * The Gregorian calendar, in both directions without end: days are counted
 * from 1970-01-01, months and days of a month from 1.
 */
#define DAY_S INT64_C(86400)

struct civil {
	int64_t year;
	int month;
	int day;
};

int64_t civil_to_days(int64_t year, int month, int day);
struct civil civil_from_days(int64_t days);

int civil_month_length(int64_t year, int month);
/* Of a day: 0 is Sunday. */
int civil_weekday(int64_t days);

/* Division that rounds down, and the remainder that is never negative. */
int64_t civil_div(int64_t, int64_t by);
int64_t civil_mod(int64_t, int64_t by);

#endif
