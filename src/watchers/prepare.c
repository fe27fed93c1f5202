#include "config.h"

#include "watcher.h"

/*
 * The end of a batch, as libev's ev_prepare: the client is about to wait for
 * the next one.
 */
const struct watcher_class prepare_class = {
	.name = { "prepare", 7 },
	.revents = EV_PREPARE,
	.size = sizeof(struct watcher),
	.waits = QUEUE_PREPARE,
};
