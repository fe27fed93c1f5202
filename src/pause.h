#ifndef EVD_PAUSE_H
#define EVD_PAUSE_H

#include <stdbool.h>

#include "session.h"

/*
 * A session is suspended: its clocks stand still, and no event is written.
 * What fires all the same merges.  Its timers know nothing of it, as they are
 * by the session's own time; its alarms, which are by the wall clock, hear of
 * the end of the pause.
 */

/* Does nothing for one that is suspended. */
void pause_begin(struct session *);

/*
 * Its clocks go on.  Returns true when it is not suspended any more; false:
 * some alarms have not heard of it yet, call again in another iteration.
 */
bool pause_end(struct session *);

#endif
