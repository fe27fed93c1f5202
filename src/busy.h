#ifndef EVD_BUSY_H
#define EVD_BUSY_H

#include <ev.h>

/*
 * An idle watcher of libev's that does nothing: while it is started, the loop
 * goes on without blocking.  For whoever has left work for the next iteration.
 */
void busy_init(struct ev_idle *);

#endif
