#ifndef EVD_EVENT_H
#define EVD_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"
#include "message.h"

/*
 * The frame of an event line: event_begin() writes what stands before the
 * members that the type adds, event_end() what stands behind them and the LF.
 */
struct event {
	struct slice type;
	struct slice watcher; /* JSON text */
	int revents;
	uint64_t seq;
	double time; /* of the first firing, seconds since the Epoch */
	bool active;
	uint64_t overrun;
	struct slice data; /* JSON text; of length 0 if there is none */
};

void event_begin(struct buffer *, const struct event *);
void event_end(struct buffer *, const struct event *);

#endif
