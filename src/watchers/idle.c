#include "config.h"

#include "watcher.h"

/*
 * Nothing else to do, as libev's ev_idle: it fires when the session has no
 * other event.  That goes on being so, and so it is level-triggered.
 */
const struct watcher_class idle_class = {
	.name = { "idle", 4 },
	.revents = EV_IDLE,
	.size = sizeof(struct watcher),
	.level = true,
	.waits = QUEUE_IDLE,
};
