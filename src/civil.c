#include "config.h"

#include "civil.h"

#include <stdbool.h>

#define ERA_YEARS 400
#define ERA_DAYS  146097
/* From 0000-03-01 to 1970-01-01. */
#define EPOCH_DAYS 719468

int64_t
civil_div(int64_t n, int64_t by)
{
	return n / by - (n % by < 0);
}

int64_t
civil_mod(int64_t n, int64_t by)
{
	return n - civil_div(n, by) * by;
}

/*
 * Years are counted from March here, so that the day that only leap years
 * have is a year's last.  March to July have 31, 30, 31, 30, 31 days, which
 * is 153 days in five months, and so on in the next five.
 */
int64_t
civil_to_days(int64_t year, int month, int day)
{
	int64_t march_year = year - (month <= 2);
	int64_t era = civil_div(march_year, ERA_YEARS);
	int64_t of_era = march_year - era * ERA_YEARS;
	int march_month = (month + 9) % 12;
	int64_t of_year = (153 * march_month + 2) / 5 + day - 1;

	return era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 +
	    of_year - EPOCH_DAYS;
}

struct civil
civil_from_days(int64_t days)
{
	int64_t n = days + EPOCH_DAYS;
	int64_t era = civil_div(n, ERA_DAYS);
	int64_t of_era = n - era * ERA_DAYS;
	/* Take out the leap days before it: what is left has 365 a year. */
	int64_t year = (of_era - of_era / 1460 + of_era / 36524 -
			   of_era / 146096) /
	    365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
	int march_month = (int)((5 * of_year + 2) / 153);
	int month = march_month < 10 ? march_month + 3 : march_month - 9;

	return (struct civil){
		.year = era * ERA_YEARS + year + (month <= 2),
		.month = month,
		.day = (int)(of_year - (153 * march_month + 2) / 5 + 1),
	};
}

static bool
civil_is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int
civil_month_length(int64_t year, int month)
{
	static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31,
		30, 31 };

	return lengths[month - 1] + (month == 2 && civil_is_leap(year));
}

int
civil_weekday(int64_t days)
{
	return (int)civil_mod(days + 4, 7);
}
