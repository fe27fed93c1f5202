#include "config.h"

#include "fdpoll.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "log.h"

#define FDPOLL_ROUNDS 16 /* in an iteration of the loop */

/* One round of epoll; returns the number of items that were ready. */
static int
fdpoll_round(struct fdpoll *poll)
{
	struct epoll_event events[FDPOLL_EVENTS];
	int n = epoll_wait(poll->fd, events, FDPOLL_EVENTS, 0);

	if (n < 0) {
		if (errno != EINTR)
			log_error("epoll_wait: %s", strerror(errno));
		return 0;
	}
	for (int i = 0; i < n; i++)
		poll->ready[i] = events[i].data.ptr;
	poll->n_ready = n;
	for (int i = 0; i < n; i++)
		if (poll->ready[i] != NULL)
			poll->ready[i]->on_events(poll->ready[i],
			    events[i].events);
	poll->n_ready = 0;
	return n;
}

/* What is left then is ready in the next iteration. */
static void
fdpoll_on_ready(struct ev_loop *loop, struct ev_io *watcher, int revents)
{
	(void)loop;
	if (revents & EV_ERROR)
		fatal("epoll_ctl: there is no room to wait for descriptors");
	for (int i = 0; i < FDPOLL_ROUNDS; i++)
		if (fdpoll_round(watcher->data) < FDPOLL_EVENTS)
			break;
}

int
fdpoll_init(struct fdpoll *poll, struct ev_loop *loop)
{
	*poll = (struct fdpoll){ .loop = loop };
	poll->fd = epoll_create1(EPOLL_CLOEXEC);
	if (poll->fd < 0)
		return -errno;
	ev_io_init(&poll->watcher, fdpoll_on_ready, poll->fd, EV_READ);
	poll->watcher.data = poll;
	ev_io_start(loop, &poll->watcher);
	return 0;
}

void
fdpoll_fini(struct fdpoll *poll)
{
	ev_io_stop(poll->loop, &poll->watcher);
	close(poll->fd);
}

static int
fdpoll_ctl(struct fdpoll *poll, int op, struct fdpoll_item *item,
    uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = item };

	return epoll_ctl(poll->fd, op, item->fd, &event) < 0 ? -errno : 0;
}

int
fdpoll_add(struct fdpoll *poll, struct fdpoll_item *item, uint32_t events)
{
	return fdpoll_ctl(poll, EPOLL_CTL_ADD, item, events);
}

int
fdpoll_mod(struct fdpoll *poll, struct fdpoll_item *item, uint32_t events)
{
	return fdpoll_ctl(poll, EPOLL_CTL_MOD, item, events);
}

void
fdpoll_del(struct fdpoll *poll, struct fdpoll_item *item)
{
	int err;

	if (item->fd < 0)
		return;
	err = fdpoll_ctl(poll, EPOLL_CTL_DEL, item, 0);
	if (err < 0)
		log_error("epoll_ctl: removing descriptor %d: %s", item->fd,
		    strerror(-err));
	for (int i = 0; i < poll->n_ready; i++)
		if (poll->ready[i] == item)
			poll->ready[i] = NULL;
	item->fd = -1;
}

/*
 * Ends, as each user's items stop being ready once handed out: they are
 * one-shot, edge-triggered, or deleted by their handler.
 */
void
fdpoll_gather(struct fdpoll *poll)
{
	while (fdpoll_round(poll) == FDPOLL_EVENTS)
		continue;
}
