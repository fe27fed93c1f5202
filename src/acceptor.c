#include "config.h"

#include "acceptor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connection.h"
#include "log.h"
#include "message.h"

/* New connections that one iteration takes. */
#define ACCEPTS_MAX 64
/* Between attempts to accept when the machine can't, in seconds. */
#define ACCEPT_PAUSE_S 0.1

/* Says which limit it was that accept(2) has met. */
static void
acceptor_explain(char *why, size_t size, int err)
{
	struct rlimit limit;

	if (err == EMFILE && getrlimit(RLIMIT_NOFILE, &limit) == 0)
		snprintf(why, size,
		    "too many descriptors: the daemon has room for %ju "
		    "(RLIMIT_NOFILE)",
		    (uintmax_t)limit.rlim_cur);
	else
		snprintf(why, size,
		    "too many descriptors: the machine has no more (ENFILE)");
}

/*
 * There is no descriptor for it: use the one kept for saying so.  Returns
 * false if there was nobody after all, or no way to say it.
 */
static bool
acceptor_refuse(struct acceptor *a, int err)
{
	struct buffer out;
	struct peer peer;
	char why[96];
	int fd;

	acceptor_explain(why, sizeof(why), err);
	close(a->reserve);
	fd = accept4(a->listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0) {
		buffer_init(&out, a->pool);
		message_bye(&out, "limit-exceeded", why);
		send(fd, buffer_data(&out), buffer_len(&out),
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		buffer_fini(&out);
		connection_discard(fd, a->pool);
		peer_init(&peer, fd);
		refusal_log(a->refusals, &peer, wallclock_monotonic(a->clock),
		    why);
		close(fd);
	}
	a->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return fd >= 0;
}

/* Accepting fails for reasons of the machine's: not again at once. */
static void
acceptor_pause(struct acceptor *a)
{
	if (a->stopped)
		return;
	ev_io_stop(a->loop, &a->watcher);
	ev_timer_again(a->loop, &a->pause);
}

static void
acceptor_on_pause_over(struct ev_loop *loop, struct ev_timer *timer,
    int revents)
{
	struct acceptor *a = timer->data;

	(void)revents;
	ev_timer_stop(loop, timer);
	ev_io_start(loop, &a->watcher);
}

/* Returns false when there is nobody left to accept. */
static bool
acceptor_accept_one(struct acceptor *a)
{
	int fd = accept4(a->listener->fd, NULL, NULL,
	    SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0) {
		a->on_accept(a, fd);
		return true;
	}
	switch (errno) {
	case EMFILE:
	case ENFILE:
		if (acceptor_refuse(a, errno))
			return true;
		acceptor_pause(a);
		return false;
	case EINTR:
	case ECONNABORTED:
		return true;
	case EAGAIN:
	case EINVAL: /* retired */
		return false;
	default:
		log_error("accept: %s", strerror(errno));
		acceptor_pause(a);
		return false;
	}
}

static void
acceptor_on_readable(struct ev_loop *loop, struct ev_io *watcher, int revents)
{
	struct acceptor *a = watcher->data;
	int n = 0;

	(void)loop;
	if (revents & EV_ERROR) {
		log_error("epoll_ctl: there is no room to wait for clients");
		acceptor_pause(a);
		return;
	}
	while (n < ACCEPTS_MAX && acceptor_accept_one(a))
		n++;
	if (n == 0 && socket_is_shut(a->listener))
		a->on_shut(a);
}

void
acceptor_init(struct acceptor *a)
{
	a->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (a->reserve < 0)
		fatal("/dev/null: %s", strerror(errno));
	ev_io_init(&a->watcher, acceptor_on_readable, a->listener->fd, EV_READ);
	ev_timer_init(&a->pause, acceptor_on_pause_over, 0, ACCEPT_PAUSE_S);
	a->watcher.data = a->pause.data = a;
}

void
acceptor_fini(struct acceptor *a)
{
	close(a->reserve);
}

void
acceptor_start(struct acceptor *a)
{
	ev_io_start(a->loop, &a->watcher);
}

void
acceptor_stop(struct acceptor *a)
{
	a->stopped = true;
	ev_io_stop(a->loop, &a->watcher);
	ev_timer_stop(a->loop, &a->pause);
}

void
acceptor_drain(struct acceptor *a)
{
	while (acceptor_accept_one(a))
		continue;
}
