#include "config.h"

#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

/*
 * What the kernel gives for a change is an error condition, once, which libev
 * hands to writers too: the file is always readable, and never writable.
 */
static void
mounts_on_error(struct ev_loop *loop, struct ev_io *watcher, int revents)
{
	struct mounts *mounts = watcher->data;

	(void)loop;
	if (revents & EV_ERROR)
		log_warning("stat: mounts will not be noticed: epoll_ctl: "
			    "there is no room to wait for them");
	mounts->on_change(mounts);
}

void
mounts_init(struct mounts *mounts, struct ev_loop *loop)
{
	*mounts = (struct mounts){ .loop = loop, .fd = -1 };
}

void
mounts_open(struct mounts *mounts)
{
	mounts->fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	if (mounts->fd < 0) {
		log_warning("stat: mounts will not be noticed: "
			    "/proc/self/mountinfo: %s",
		    strerror(errno));
		return;
	}
	ev_io_init(&mounts->watcher, mounts_on_error, mounts->fd, EV_WRITE);
	mounts->watcher.data = mounts;
	ev_io_start(mounts->loop, &mounts->watcher);
}

void
mounts_close(struct mounts *mounts)
{
	if (mounts->fd < 0)
		return;
	ev_io_stop(mounts->loop, &mounts->watcher);
	close(mounts->fd);
	mounts->fd = -1;
}

void
mounts_gather(struct mounts *mounts)
{
	/* A descriptor of -1 has no events. */
	struct pollfd pollfd = { .fd = mounts->fd, .events = POLLPRI };

	if (poll(&pollfd, 1, 0) == 1)
		mounts->on_change(mounts);
}
