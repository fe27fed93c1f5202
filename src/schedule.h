#ifndef EVD_SCHEDULE_H
#define EVD_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"
#include "calendar.h"
#include "message.h"
#include "zones.h"

/*
 * A calendar expression in a zone, as the members "calendar" and "timezone"
 * of a command say it.
 */
struct schedule {
	struct calendar calendar;
	struct zone *zone;
};

/* The longest text of either that a command may have. */
#define SCHEDULE_TEXT_MAX 1024
/* How many next times a command may ask for, under "next". */
#define SCHEDULE_NEXT_MAX 10

/* Each returns 0, or -1 with the error and nothing changed. */
int schedule_read_calendar(struct calendar *, struct slice, struct error *);
/* The zone goes back with zone_unref(). */
int schedule_read_zone(struct zone **, struct zones *, struct slice,
    struct error *);

/* The first time behind one; infinite if there is none. */
double schedule_next(const struct schedule *, double behind);
/* How many times lie behind the one, up to and with the other. */
uint64_t schedule_count(const struct schedule *, double behind, double to);

#endif
