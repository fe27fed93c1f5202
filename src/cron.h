#ifndef EVD_CRON_H
#define EVD_CRON_H

#include <stddef.h>

#include "calendar.h"

/*
 * The text of a cron expression: five fields, or six with seconds first, or a
 * shortcut such as @daily.
 */

/* Room for what cron_parse() finds wrong. */
#define CRON_FAULT_SIZE 256

/*
 * Returns 0, or -1 and says in fault where in the text, what is there and
 * what was expected; it goes on behind the text's name and value, as in
 *
 *     field 2 (hour) is "25", expected numbers from 0 to 23
 *
 * An expression that never comes, as 30 February, is wrong too.
 */
int cron_parse(struct calendar *, const char *, size_t, char *fault);

#endif
