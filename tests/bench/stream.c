#include "config.h"
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STREAM_SIZE ((size_t)256 * 1024)

void
stream_open(struct stream *stream, int fd)
{
	*stream = (struct stream){ .fd = fd, .size = STREAM_SIZE };
	if ((stream->in = malloc(stream->size)) == NULL)
		fatal("out of memory");
}

void
stream_close(struct stream *stream)
{
	close(stream->fd);
	free(stream->in);
}

static void
stream_fill(struct stream *stream)
{
	ssize_t n;

	if (stream->start > 0) {
		memmove(stream->in, stream->in + stream->start,
		    stream->end - stream->start);
		stream->end -= stream->start;
		stream->start = 0;
	}
	if (stream->end == stream->size)
		fatal("a line is longer than %zu bytes", stream->size);
	n = read(stream->fd, stream->in + stream->end,
	    stream->size - stream->end);
	if (n <= 0)
		fatal("a peer has gone: %s", n == 0 ? "end" : strerror(errno));
	stream->end += n;
}

char *
stream_line(struct stream *stream)
{
	char *line, *lf;

	while ((lf = memchr(stream->in + stream->start, '\n',
		    stream->end - stream->start)) == NULL)
		stream_fill(stream);
	line = stream->in + stream->start;
	*lf = '\0';
	stream->start = lf + 1 - stream->in;
	return (line);
}

static size_t
count_lines(struct stream *stream)
{
	char *p = stream->in + stream->start, *end = stream->in + stream->end;
	size_t n = 0;

	while ((p = memchr(p, '\n', end - p)) != NULL) {
		n++;
		p++;
		stream->start = p - stream->in;
	}
	return (n);
}

size_t
stream_drain(struct stream *stream)
{
	stream_fill(stream);
	return (count_lines(stream));
}

void
stream_exchange(struct stream *stream, const char *out, size_t len,
    size_t lines)
{
	size_t sent = 0, n = count_lines(stream);
	struct pollfd pfd = { .fd = stream->fd };

	/* The usual case first: it fits, and then there is only to read. */
	while (sent < len || n < lines) {
		if (sent < len) {
			ssize_t done = send(stream->fd, out + sent, len - sent,
			    MSG_DONTWAIT | MSG_NOSIGNAL);

			if (done > 0)
				sent += done;
			else if (errno != EAGAIN)
				fatal("write: %s", strerror(errno));
		}
		if (sent < len) {
			pfd.events = POLLIN | POLLOUT;
			if (poll(&pfd, 1, -1) == -1)
				fatal("poll: %s", strerror(errno));
			if (pfd.revents & POLLIN)
				n += stream_drain(stream);
		} else if (n < lines)
			n += stream_drain(stream);
	}
	if (n != lines)
		fatal("%zu lines, expected %zu", n, lines);
}

void
stream_send(struct stream *stream, const char *out)
{
	stream_exchange(stream, out, strlen(out), 0);
}
