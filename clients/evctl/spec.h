#ifndef EVCTL_SPEC_H
#define EVCTL_SPEC_H

#include <stdbool.h>
#include <stddef.h>

#include "evctl.h"
#include "wire.h"

/*
 * What to watch, in words:
 *
 *     TYPE [ARGUMENT...] [MEMBER=VALUE...]
 *
 * and several of these with a lone comma between two.  The table of types
 * says which members the arguments are; any other member of the protocol, and
 * any type that is not in the table, is had by MEMBER=VALUE.
 */
#define SPEC_USAGE "TYPE [ARGUMENT...] [MEMBER=VALUE...] [, TYPE...]"

/* Prints what --help says of them. */
void spec_help(void);

struct specs {
	size_t n;
	bool held; /* some fire only once if nobody acknowledges */
};

/*
 * Queues a watch for each of the arguments' watchers, with the options --data,
 * --name, --once and --priority.
 */
void spec_put(struct wire *, const struct evctl *, struct specs *);

#endif
