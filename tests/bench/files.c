/* A file changes: from the write to the line that says so. */
#include "config.h"
#include "bench.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#define REWRITES 500
#define PATIENCE 1000 /* ms after which a change counts as missed */

/* A file of its own for each subject, as rig->fds[0]. */
static void
make_file(struct rig *rig, char *path, size_t size)
{
	snprintf(path, size, "%s/file-XXXXXX", getenv("EVD_BENCH_DIRECTORY"));
	rig->fds = calloc(1, sizeof *rig->fds);
	rig->n_fds = 1;
	if ((rig->fds[0] = mkstemp(path)) == -1)
		fatal("%s: %s", path, strerror(errno));
	if (write(rig->fds[0], "0", 1) != 1)
		fatal("write: %s", strerror(errno));
}

static void
rewrite(struct rig *rig, unsigned turn)
{
	char digit = '0' + turn % 10;

	if (pwrite(rig->fds[0], &digit, 1, 0) != 1)
		fatal("write: %s", strerror(errno));
}

static bool
comes(struct stream *stream)
{
	struct pollfd pfd = { .fd = stream->fd, .events = POLLIN };

	return (stream->start < stream->end || poll(&pfd, 1, PATIENCE) == 1);
}

static void
round_lines(struct rig *rig, double *figures)
{
	size_t n = sized(rig, REWRITES), missed = 0;
	double *waits = calloc(n, sizeof *waits);

	for (unsigned i = 0; i < n; i++) {
		double begun = now();

		rewrite(rig, i);
		if (comes(&rig->streams[0]))
			stream_line(&rig->streams[0]);
		else
			missed++;
		waits[i] = now() - begun;
	}
	figures[0] = quantile(waits, n, 0.5);
	figures[1] = missed;
	free(waits);
}

static void
open_evd(struct rig *rig)
{
	char path[256];

	make_file(rig, path, sizeof path);
	peer_start(&rig->peer, PEER_EVD);
	rig_stream(rig);
	text_add(&rig->text,
	    "{\"cmd\":\"watch\",\"type\":\"stat\","
	    "\"watcher\":1,\"path\":\"%s\"}\n",
	    path);
	stream_exchange(&rig->streams[0], rig->text.data, rig->text.len, 1);
}

static void
open_inotifywait(struct rig *rig)
{
	char path[256];
	int ends[2], errors[2];

	make_file(rig, path, sizeof path);
	if (pipe2(ends, O_CLOEXEC) == -1 || pipe2(errors, O_CLOEXEC) == -1 ||
	    (rig->peer.pid = fork()) == -1)
		fatal("inotifywait: %s", strerror(errno));
	if (rig->peer.pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		dup2(errors[1], STDERR_FILENO);
		execlp("inotifywait", "inotifywait", "-m", "-e", "modify", path,
		    (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	close(errors[1]);
	rig->streams = calloc(2, sizeof *rig->streams);
	rig->n_streams = 2;
	stream_open(&rig->streams[0], ends[0]);
	stream_open(&rig->streams[1], errors[0]);
	stream_line(&rig->streams[1]); /* Setting up watches. */
	stream_line(&rig->streams[1]); /* Watches established. */
}

static void
open_inotify(struct rig *rig)
{
	char path[256];
	int fd = inotify_init1(IN_CLOEXEC);

	make_file(rig, path, sizeof path);
	if (inotify_add_watch(fd, path, IN_MODIFY) == -1)
		fatal("inotify: %s", strerror(errno));
	rig->streams = calloc(1, sizeof *rig->streams);
	rig->n_streams = 1;
	stream_open(&rig->streams[0], fd);
}

static void
round_inotify(struct rig *rig, double *figures)
{
	struct inotify_event event;
	size_t n = sized(rig, REWRITES);
	double *waits = calloc(n, sizeof *waits);

	for (unsigned i = 0; i < n; i++) {
		double begun = now();

		rewrite(rig, i);
		if (read(rig->streams[0].fd, &event, sizeof event) <= 0)
			fatal("inotify: %s", strerror(errno));
		waits[i] = now() - begun;
	}
	figures[0] = quantile(waits, n, 0.5);
	figures[1] = 0;
	free(waits);
}

const struct scenario files_scenario = {
	.name = "files",
	.title = "a file is rewritten at the same size, from write to line",
	/* Else it measures on which processors the scheduler puts whom. */
	.one_core = true,
	.measures = { { "median", "us", 1e6, false, "1.0", 1.0 },
	    { "missed of 500", "changes", 1, false, "0" } },
	.subjects = { { "inotifywait -m", -1, "inotifywait", open_inotifywait,
			  round_lines },
	    { "evd", PEER_EVD, NULL, open_evd, round_lines },
	    { "raw inotify, in process", -1, NULL, open_inotify,
		round_inotify } },
	.rounds = 15,
	.quick_rounds = 15,
	.quick = 5,
};
