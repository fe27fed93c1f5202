#include "config.h"

#include "watcher.h"

/*
 * The wake-up, as libev's ev_async: it fires when somebody sends to it, also
 * from another session.
 */
const struct watcher_class async_class = {
	.name = { "async", 5 },
	.revents = EV_ASYNC,
	.size = sizeof(struct watcher),
	.send = watcher_fired,
};
