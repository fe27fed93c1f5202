#ifndef EVD_STATS_H
#define EVD_STATS_H

#include <stdint.h>

#include "message.h"

/* What the daemon has done since its start. */
#define STATS_TYPES_MAX 32

struct stats {
	double since; /* CLOCK_MONOTONIC */
	uint64_t commands;
	uint64_t errors[ERROR_CODES];
	uint64_t events[STATS_TYPES_MAX]; /* by place in watcher_classes */
	uint64_t merged; /* firings that went into another's event */
	uint64_t reads;	 /* of connections */
	uint64_t writes;
	uint64_t received; /* bytes */
	uint64_t written;
	uint64_t wakeups; /* how often it has slept */
};

#endif
