#include "config.h"

#include "watcher.h"

/*
 * The beginning of a batch, as libev's ev_check: the client has waited, and
 * this is what came.
 */
const struct watcher_class check_class = {
	.name = { "check", 5 },
	.revents = EV_CHECK,
	.size = sizeof(struct watcher),
	.waits = QUEUE_CHECK,
};
