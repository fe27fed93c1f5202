#include "config.h"

#include "pidpoll.h"

#include <sys/epoll.h>

#include "feature.h"
#include "process.h"

/* Zombies that one iteration of the loop looks at. */
#define CHUNK 1000
/* Between two looks at one, in seconds; doubled each time, from the first. */
#define WAIT_MIN 0.02
#define WAIT_MAX 2.0

static void
pidpoll_done(struct pidpoll_item *item)
{
	pidpoll_del(item);
	item->on_done(item);
}

/*
 * The next look is not put off by zombies that come in a row.  Where there are
 * more than one iteration looks at, all have their turn within the wait.
 */
static void
pidpoll_start_timer(struct pidpoll *poll)
{
	struct ev_loop *loop = poll->poll.loop;
	size_t turns = (poll->n_zombies + CHUNK - 1) / CHUNK;
	double wait = poll->wait / (double)turns;

	if (ev_is_active(&poll->timer) &&
	    ev_timer_remaining(loop, &poll->timer) <= wait)
		return;
	ev_timer_stop(loop, &poll->timer);
	ev_timer_set(&poll->timer, wait, 0);
	ev_timer_start(loop, &poll->timer);
}

static void
pidpoll_wait_for(struct pidpoll_item *item)
{
	struct pidpoll *poll = item->poll;

	if (!item->zombie) {
		TAILQ_INSERT_TAIL(&poll->zombies, item, entry);
		poll->n_zombies++;
	}
	item->zombie = true;
	poll->wait = WAIT_MIN;
	pidpoll_start_timer(poll);
}

static void
pidpoll_on_events(struct fdpoll_item *polled, uint32_t events)
{
	struct pidpoll_item *item = (struct pidpoll_item *)polled;

	if (item->until == UNTIL_ENDED) {
		pidpoll_done(item);
	} else if (feature_enabled(FEATURE_PIDFD_INFO)) {
		if (events & EPOLLHUP)
			pidpoll_done(item);
	} else if (process_is_reaped(item->item.fd)) {
		pidpoll_done(item);
	} else {
		pidpoll_wait_for(item);
	}
}

/* Looks at as many as is fair; those that are still there go to the end. */
static void
pidpoll_look(struct pidpoll *poll)
{
	const struct pidpoll_item *last = TAILQ_LAST(&poll->zombies,
	    pidpoll_list);
	bool more = true;

	for (int n = 0; n < CHUNK && more; n++) {
		struct pidpoll_item *item = TAILQ_FIRST(&poll->zombies);

		if (item == NULL)
			return;
		more = item != last;
		TAILQ_REMOVE(&poll->zombies, item, entry);
		TAILQ_INSERT_TAIL(&poll->zombies, item, entry);
		if (process_is_reaped(item->item.fd))
			pidpoll_done(item);
	}
}

static void
pidpoll_on_timer(struct ev_loop *loop, struct ev_timer *timer, int revents)
{
	struct pidpoll *poll = timer->data;

	(void)loop;
	(void)revents;
	pidpoll_look(poll);
	if (TAILQ_EMPTY(&poll->zombies))
		return;
	poll->wait = 2 * poll->wait < WAIT_MAX ? 2 * poll->wait : WAIT_MAX;
	pidpoll_start_timer(poll);
}

int
pidpoll_init(struct pidpoll *poll, struct ev_loop *loop)
{
	TAILQ_INIT(&poll->zombies);
	ev_init(&poll->timer, pidpoll_on_timer);
	poll->timer.data = poll;
	return fdpoll_init(&poll->poll, loop);
}

void
pidpoll_fini(struct pidpoll *poll)
{
	ev_timer_stop(poll->poll.loop, &poll->timer);
	fdpoll_fini(&poll->poll);
}

int
pidpoll_add(struct pidpoll *poll, struct pidpoll_item *item, int pidfd,
    enum pidpoll_until until)
{
	int err;

	item->poll = poll;
	item->until = until;
	item->zombie = false;
	item->item.fd = pidfd;
	item->item.on_events = pidpoll_on_events;
	err = fdpoll_add(&poll->poll, &item->item, EPOLLIN | EPOLLET);
	if (err < 0)
		item->item.fd = -1;
	return err;
}

void
pidpoll_del(struct pidpoll_item *item)
{
	if (item->item.fd < 0)
		return;
	if (item->zombie) {
		TAILQ_REMOVE(&item->poll->zombies, item, entry);
		item->poll->n_zombies--;
	}
	item->zombie = false;
	fdpoll_del(&item->poll->poll, &item->item);
}

void
pidpoll_gather(struct pidpoll *poll)
{
	pidpoll_look(poll);
	fdpoll_gather(&poll->poll);
}
