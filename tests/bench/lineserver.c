/*
 * The limit: a line server on libev that does nothing.  What it answers is
 * made before; it shows what socket, loop and client cost without the work.
 *
 *	=TEXT	keep that line, for gN and b; no answer
 *	gN	write it N times
 *	b	write it to everybody but the sender
 *	else	the answer that evd would give to `now`
 */
#include "config.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BLOCK 1000 /* lines of the prebuilt block */

struct client {
	ev_io reader, writer; /* reader first */
	struct client *next;
	char in[65536];
	size_t in_len;
	char out[65536];
	size_t out_len, out_sent;
	size_t lines; /* of the block, still to be written */
	size_t block_sent;
};

static const char answer[] =
    "{\"result\":{\"now\":1795397820.123456,\"monotonic\":51623.123456789}}\n";

static struct client *clients;
static char *block;
static size_t block_len, line_len;

static void
client_flush(struct ev_loop *loop, struct client *client)
{
	while (client->out_sent < client->out_len || client->lines > 0) {
		const char *from = client->out + client->out_sent;
		size_t len = client->out_len - client->out_sent;
		ssize_t n;

		if (len == 0) {
			len = client->lines * line_len;
			if (len > block_len)
				len = block_len;
			from = block + client->block_sent;
			len -= client->block_sent;
		}
		n = send(client->reader.fd, from, len, MSG_NOSIGNAL);
		if (n == -1) {
			if (errno == EAGAIN)
				ev_io_start(loop, &client->writer);
			return;
		}
		if (client->out_sent < client->out_len) {
			client->out_sent += n;
			continue;
		}
		client->block_sent += n;
		if ((size_t)n == len) {
			client->lines -= client->block_sent / line_len;
			client->block_sent = 0;
		}
	}
	client->out_len = client->out_sent = 0;
	ev_io_stop(loop, &client->writer);
}

static void
writable(struct ev_loop *loop, ev_io *w, int revents)
{
	client_flush(loop, w->data);
}

static void
keep_line(const char *line)
{
	line_len = strlen(line) + 1;
	block_len = line_len * BLOCK;
	free(block);
	if ((block = malloc(block_len + 1)) == NULL)
		abort();
	for (size_t i = 0; i < BLOCK; i++)
		sprintf(block + i * line_len, "%s\n", line);
}

static void
execute(struct ev_loop *loop, struct client *client, const char *line)
{
	switch (line[0]) {
	case '=':
		keep_line(line + 1);
		break;
	case 'g':
		client->lines += strtoul(line + 1, NULL, 10);
		break;
	case 'b':
		for (struct client *c = clients; c != NULL; c = c->next) {
			if (c != client) {
				c->lines++;
				client_flush(loop, c);
			}
		}
		break;
	default:
		if (client->out_len + sizeof answer > sizeof client->out)
			client_flush(loop, client);
		if (client->out_len + sizeof answer > sizeof client->out)
			abort(); /* it does not read what it asked for */
		memcpy(client->out + client->out_len, answer,
		    sizeof answer - 1);
		client->out_len += sizeof answer - 1;
	}
}

static void
client_end(struct ev_loop *loop, struct client *client)
{
	struct client **p = &clients;

	while (*p != client)
		p = &(*p)->next;
	*p = client->next;
	ev_io_stop(loop, &client->reader);
	ev_io_stop(loop, &client->writer);
	close(client->reader.fd);
	free(client);
}

static void
readable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct client *client = w->data;
	char *line = client->in, *lf;
	ssize_t n = recv(w->fd, client->in + client->in_len,
	    sizeof client->in - client->in_len, 0);

	if (n == -1 && errno == EAGAIN)
		return;
	if (n <= 0) {
		client_end(loop, client);
		return;
	}
	client->in_len += n;
	while ((lf = memchr(line, '\n', client->in + client->in_len - line)) !=
	    NULL) {
		*lf = '\0';
		execute(loop, client, line);
		line = lf + 1;
	}
	client->in_len -= line - client->in;
	memmove(client->in, line, client->in_len);
	client_flush(loop, client);
}

static void
acceptable(struct ev_loop *loop, ev_io *w, int revents)
{
	int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct client *client;

	if (fd == -1)
		return;
	if ((client = calloc(1, sizeof *client)) == NULL)
		abort();
	ev_io_init(&client->reader, readable, fd, EV_READ);
	ev_io_init(&client->writer, writable, fd, EV_WRITE);
	client->reader.data = client->writer.data = client;
	client->next = clients;
	clients = client;
	ev_io_start(loop, &client->reader);
}

int
main(int argc, char **argv)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct ev_loop *loop = ev_default_loop(EVFLAG_NOENV);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ev_io listener;

	if (argc != 2) {
		fprintf(stderr, "usage: lineserver SOCKET\n");
		return (2);
	}
	snprintf(un.sun_path, sizeof un.sun_path, "%s", argv[1]);
	if (bind(fd, (struct sockaddr *)&un, sizeof un) == -1 ||
	    listen(fd, 1024) == -1) {
		perror(argv[1]);
		return (1);
	}
	ev_io_init(&listener, acceptable, fd, EV_READ);
	ev_io_start(loop, &listener);
	ev_run(loop, 0);
	return (0);
}
