#ifndef EVCTL_SHOW_H
#define EVCTL_SHOW_H

#include "message.h"

#include "evctl.h"

/* Writes to standard output what the daemon says, as a line. */

/* As it came; for a terminal with nothing in it that would act there. */
void show_line(struct slice);

/* An event: for people, or as it came. */
void show_event(const struct evctl *, const struct message *, struct slice);

#endif
