#include "config.h"

#include "watcher.h"

/*
 * What libev's ev_fork is for in a process that has forked: it fires after the
 * session as a loop was reset, before its next batch.
 */
struct fork {
	struct watcher base;
	struct listener listener;
};

static void
fork_on_reset(struct listener *listener, uint64_t times)
{
	struct fork *f = (struct fork *)((char *)listener -
	    offsetof(struct fork, listener));

	(void)times;
	watcher_fired(&f->base);
}

static int
fork_start(struct watcher *w, struct error *error)
{
	struct fork *f = (struct fork *)w;

	(void)error;
	f->listener.on_told = fork_on_reset;
	listeners_add(&w->host->resets, &f->listener);
	return 0;
}

static void
fork_stop(struct watcher *w)
{
	struct fork *f = (struct fork *)w;

	listeners_del(&w->host->resets, &f->listener);
}

const struct watcher_class fork_class = {
	.name = { "fork", 4 },
	.revents = EV_FORK,
	.size = sizeof(struct fork),
	.start = fork_start,
	.stop = fork_stop,
};
