#include "config.h"

#include "connection.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "message.h"

#define DISCARD_ROUNDS_MAX 16

/*
 * The peer can't take anything any more; what it sent is still to be read.
 * What is in out goes with the next flush: somebody may be writing there.
 */
static void
connection_set_gone(struct connection *c)
{
	c->gone = true;
	ev_io_stop(c->loop, &c->writer);
	fdpoll_del(c->hangups, &c->hangup);
}

/* libev has stopped waiting for it; trying on and on would not let us sleep. */
static void
connection_give_up(struct connection *c)
{
	log_error("epoll_ctl: pid %d is disconnected: there is no room to wait "
		  "for it",
	    (int)c->peer.pid);
	ev_io_stop(c->loop, &c->reader);
	c->eof = true;
	connection_set_gone(c);
	c->on_ready(c);
}

static void
connection_on_readable(struct ev_loop *loop, struct ev_io *reader, int revents)
{
	struct connection *c = reader->data;

	if (revents & EV_ERROR) {
		connection_give_up(c);
		return;
	}
	/* Not read since it was said last: say it once, don't spin. */
	if (c->readable)
		ev_io_stop(loop, reader);
	c->readable = true;
	c->on_ready(c);
}

static void
connection_on_writable(struct ev_loop *loop, struct ev_io *writer, int revents)
{
	struct connection *c = writer->data;

	if (revents & EV_ERROR) {
		connection_give_up(c);
		return;
	}
	ev_io_stop(loop, writer);
	c->on_ready(c);
}

static void
connection_on_hangup(struct fdpoll_item *item, uint32_t events)
{
	struct connection *c = (struct connection *)((char *)item -
	    offsetof(struct connection, hangup));

	(void)events;
	connection_set_gone(c);
	c->on_ready(c);
}

void
connection_init(struct connection *c, int fd, struct ev_loop *loop,
    struct fdpoll *hangups, struct buffer_pool *pool, struct stats *stats)
{
	*c = (struct connection){ .fd = fd, .loop = loop, .hangups = hangups };
	c->stats = stats;
	buffer_init(&c->in, pool);
	buffer_init(&c->out, pool);
	ev_io_init(&c->reader, connection_on_readable, fd, EV_READ);
	ev_io_init(&c->writer, connection_on_writable, fd, EV_WRITE);
	c->reader.data = c->writer.data = c;
	c->hangup.fd = -1;
	c->hangup.on_events = connection_on_hangup;
	peer_init(&c->peer, fd);
	ev_io_start(loop, &c->reader);
}

void
connection_fini(struct connection *c)
{
	fdpoll_del(c->hangups, &c->hangup);
	ev_io_stop(c->loop, &c->reader);
	ev_io_stop(c->loop, &c->writer);
	buffer_fini(&c->in);
	buffer_fini(&c->out);
	fdqueue_fini(&c->fds);
	close(c->fd);
}

/* --- input -------------------------------------------------------------- */

/*
 * The end of the input.  If the peer has closed altogether that shows at
 * once; if only its half, the end of the rest shows as a hang-up, for which
 * libev can't wait.
 */
static void
connection_set_eof(struct connection *c)
{
	struct pollfd pfd = { .fd = c->fd };
	int err;

	c->eof = true;
	ev_io_stop(c->loop, &c->reader);
	if (poll(&pfd, 1, 0) == 1 && (pfd.revents & (POLLHUP | POLLERR))) {
		connection_set_gone(c);
		return;
	}
	c->hangup.fd = c->fd;
	err = fdpoll_add(c->hangups, &c->hangup, EPOLLONESHOT);
	if (err < 0) {
		log_error("epoll_ctl: waiting for a hang-up: %s",
		    strerror(-err));
		c->hangup.fd = -1;
		connection_set_gone(c);
	}
}

/* The kernel says nothing of the peer: later it may be otherwise. */
static bool
connection_may_retry(int err)
{
	return err == EAGAIN || err == EINTR || err == ENOBUFS || err == ENOMEM;
}

/* Receives once, with the descriptors that come along. */
static ssize_t
connection_receive(struct connection *c, size_t room)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { buffer_reserve(&c->in, room), room };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n <= 0)
		return n;
	buffer_commit(&c->in, n);
	c->received += n;
	c->stats->reads++;
	c->stats->received += n;
	/*
	 * A read ends where it is full, and behind a message that brought
	 * descriptors; else it was all that there is.
	 */
	c->readable = (size_t)n == room;
	if (msg.msg_controllen > 0 || (msg.msg_flags & MSG_CTRUNC)) {
		c->readable = true;
		fdqueue_receive(&c->fds, &msg, c->received - n, c->received);
	}
	return n;
}

bool
connection_fill(struct connection *c)
{
	size_t room = LINE_SIZE_MAX - buffer_len(&c->in);
	ssize_t n;

	if (c->eof || !c->readable || buffer_len(&c->in) >= LINE_SIZE_MAX)
		return false;
	n = connection_receive(c, room);
	if (n < 0 && connection_may_retry(errno))
		c->readable = errno == EINTR;
	else if (n <= 0)
		connection_set_eof(c);
	if (buffer_len(&c->in) == 0)
		buffer_clear(&c->in);
	if (!c->eof && !c->readable)
		ev_io_start(c->loop, &c->reader);
	return n > 0;
}

/* Drops the rest of an over-long line, as far as it is here. */
static void
connection_skip(struct connection *c)
{
	const char *lf = memchr(buffer_data(&c->in), '\n', buffer_len(&c->in));

	if (lf == NULL) {
		buffer_clear(&c->in);
	} else {
		c->skipping = false;
		buffer_consume(&c->in, lf + 1 - buffer_data(&c->in));
	}
	fdqueue_drop(&c->fds, c->received - buffer_len(&c->in));
}

/* The length of the first line with its LF; 0 if it is not complete. */
static size_t
connection_scan(struct connection *c)
{
	size_t len = buffer_len(&c->in);
	const char *data, *lf;

	if (c->skipping && len > 0) {
		connection_skip(c);
		len = buffer_len(&c->in);
	}
	if (len == 0)
		return 0;
	data = buffer_data(&c->in);
	lf = memchr(data + c->scanned, '\n', len - c->scanned);
	c->scanned = lf == NULL ? len : (size_t)(lf - data);
	if (lf != NULL)
		return lf + 1 - data;
	/* At the end of the input what is left is a line, without an LF. */
	return c->eof || len >= LINE_SIZE_MAX ? len : 0;
}

bool
connection_has_line(struct connection *c)
{
	return connection_scan(c) > 0;
}

enum line_state
connection_next_line(struct connection *c, struct line *line)
{
	size_t n = connection_scan(c);

	if (n == 0)
		return LINE_NONE;
	line->p = buffer_data(&c->in);
	line->len = n;
	line->number = ++c->lines;
	c->in.start += n; /* released by connection_rest() */
	c->scanned = 0;
	line->end = c->received - buffer_len(&c->in);
	if (line->p[n - 1] == '\n') {
		line->len--;
		return LINE_READ;
	}
	if (n < LINE_SIZE_MAX)
		return LINE_READ;
	c->skipping = true;
	fdqueue_drop(&c->fds, line->end);
	return LINE_TOO_LONG;
}

bool
connection_is_drained(struct connection *c)
{
	return c->eof && !connection_has_line(c);
}

void
connection_rest(struct connection *c)
{
	if (buffer_len(&c->in) == 0)
		buffer_clear(&c->in);
	else
		buffer_fit(&c->in);
}

void
connection_discard(int fd, struct buffer_pool *pool)
{
	struct buffer junk;
	char *bytes;

	buffer_init(&junk, pool);
	bytes = buffer_reserve(&junk, LINE_SIZE_MAX);
	for (int i = 0; i < DISCARD_ROUNDS_MAX; i++)
		if (recv(fd, bytes, LINE_SIZE_MAX, MSG_DONTWAIT) <= 0)
			break;
	buffer_fini(&junk);
}

/* --- output ------------------------------------------------------------- */

void
connection_flush(struct connection *c)
{
	ssize_t n;

	if (c->gone) {
		buffer_clear(&c->out);
		return;
	}
	if (buffer_len(&c->out) == 0)
		return;
	n = send(c->fd, buffer_data(&c->out), buffer_len(&c->out),
	    MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n >= 0) {
		c->stats->writes++;
		c->stats->written += n;
		buffer_consume(&c->out, n);
	} else if (!connection_may_retry(errno)) {
		connection_set_gone(c);
		buffer_clear(&c->out);
		return;
	}
	if (buffer_len(&c->out) > 0)
		ev_io_start(c->loop, &c->writer);
}
