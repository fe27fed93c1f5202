/* One of 1,000 descriptors is ready: from the byte written to the event. */
#include "config.h"
#include "bench.h"

#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIPES 1000
#define TURNS 1000

/* Reading ends first, then writing ends. */
static void
make_pipes(struct rig *rig)
{
	rig->n_fds = (size_t)2 * PIPES;
	if ((rig->fds = calloc(rig->n_fds, sizeof *rig->fds)) == NULL)
		fatal("out of memory");
	for (int i = 0; i < PIPES; i++) {
		int ends[2];

		if (pipe(ends) == -1)
			fatal("pipe: %s", strerror(errno));
		rig->fds[i] = ends[0];
		rig->fds[PIPES + i] = ends[1];
	}
}

static void
put_byte(struct rig *rig, unsigned turn)
{
	if (write(rig->fds[PIPES + turn * 611 % PIPES], "x", 1) != 1)
		fatal("write: %s", strerror(errno));
}

static void
take_byte(int fd)
{
	char byte;

	if (read(fd, &byte, 1) != 1)
		fatal("read: %s", strerror(errno));
}

static void
watch_pipe(struct rig *rig, int i)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_level = SOL_SOCKET,
			  .cmsg_type = SCM_RIGHTS,
			  .cmsg_len = CMSG_LEN(sizeof(int)) } };
	char line[128];
	struct iovec iov = { .iov_base = line };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control };

	iov.iov_len = snprintf(line, sizeof line,
	    "{\"cmd\":\"watch\",\"type\":\"io\",\"watcher\":%d,"
	    "\"events\":\"r\",\"fds\":1}\n",
	    i);
	memcpy(CMSG_DATA(&control.header), &rig->fds[i], sizeof(int));
	if (sendmsg(rig->streams[0].fd, &msg, MSG_NOSIGNAL) == -1)
		fatal("sendmsg: %s", strerror(errno));
	if (strstr(stream_line(&rig->streams[0]), "result") == NULL)
		fatal("a descriptor was refused");
}

static void
open_evd(struct rig *rig)
{
	make_pipes(rig);
	peer_start(&rig->peer, PEER_EVD);
	pin(rig->peer.pid);
	rig_stream(rig);
	for (int i = 0; i < PIPES; i++)
		watch_pipe(rig, i);
	text_add(&rig->text, "{\"cmd\":\"ack\",\"reply\":false}\n");
}

static void
round_evd(struct rig *rig, double *figures)
{
	size_t n = sized(rig, TURNS);
	double *waits = calloc(n, sizeof *waits);

	for (unsigned i = 0; i < n; i++) {
		double begun = now();
		char *name;

		put_byte(rig, i);
		name = strstr(stream_line(&rig->streams[0]), "\"watcher\":");
		if (name == NULL)
			fatal("not an event");
		take_byte(rig->fds[atoi(name + 10)]);
		waits[i] = now() - begun;
		stream_send(&rig->streams[0], rig->text.data);
	}
	figures[0] = quantile(waits, n, 0.5);
	free(waits);
}

struct local {
	struct ev_loop *loop;
	ev_io watchers[PIPES];
};

static void
readable(struct ev_loop *loop, ev_io *w, int revents)
{
	take_byte(w->fd);
}

static void
open_in_process(struct rig *rig)
{
	struct local *local = calloc(1, sizeof *local);

	make_pipes(rig);
	rig->more = local;
	local->loop = ev_loop_new(EVFLAG_NOENV);
	for (int i = 0; i < PIPES; i++) {
		ev_io_init(&local->watchers[i], readable, rig->fds[i], EV_READ);
		ev_io_start(local->loop, &local->watchers[i]);
	}
}

static void
round_in_process(struct rig *rig, double *figures)
{
	struct local *local = rig->more;
	size_t n = sized(rig, TURNS);
	double *waits = calloc(n, sizeof *waits);

	for (unsigned i = 0; i < n; i++) {
		double begun = now();

		put_byte(rig, i);
		ev_run(local->loop, EVRUN_ONCE);
		waits[i] = now() - begun;
	}
	figures[0] = quantile(waits, n, 0.5);
	free(waits);
}

static void
close_in_process(struct rig *rig)
{
	struct local *local = rig->more;

	ev_loop_destroy(local->loop);
	free(local);
}

const struct scenario descriptors_scenario = {
	.name = "descriptors",
	.title = "one of 1,000 passed descriptors is ready, from byte to event",
	.one_core = true,
	.measures = { { "median", "us", 1e6, false, "4.0", 4.0 } },
	.subjects = { { "in-process libev", -1, NULL, open_in_process,
			  round_in_process, close_in_process },
	    { "evd", PEER_EVD, NULL, open_evd, round_evd } },
	.rounds = 15,
	.quick_rounds = 15,
	.quick = 2,
};
