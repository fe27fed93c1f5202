#ifndef EVD_CALENDAR_H
#define EVD_CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

#include "zone.h"

/*
 * The times at which a cron expression (cron.h) comes, in seconds since the
 * Epoch.
 *
 * Where summer time begins or ends:
 * - If the expression takes every hour, it comes whenever the local clock
 *   shows one of its times: an hour that is there twice has its times twice,
 *   and one that is left out has none.
 * - Else each of its times comes once: at the first moment at which the local
 *   clock shows it, or has gone past it.
 */
struct calendar {
	/* Bit N: the number N is in the field. */
	uint64_t seconds, minutes;
	uint32_t hours, days, months;
	uint8_t weekdays; /* 0 is Sunday */
	bool last_day;	  /* of the month, as well */
	/* The day must be in both fields; else in one of them. */
	bool both_days;
};

/* There is none any more: the year would be too far away. */
#define CALENDAR_NEVER INT64_MAX

/* The first time behind a second. */
int64_t calendar_next(const struct calendar *, const struct zone *,
    int64_t behind);

/* How many times lie behind the one second, up to and with the other. */
uint64_t calendar_count(const struct calendar *, const struct zone *,
    int64_t behind, int64_t to);

#endif
