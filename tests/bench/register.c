/* Timers by name: how fast they are registered, and what each costs. */
#include "config.h"
#include "bench.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMERS 200000
#define MANY   1000000

/* Answers: one in all, or one a command. */
static size_t
build(struct rig *rig, size_t n)
{
	struct text *text = &rig->text;

	for (size_t i = 0; i < n; i++) {
		if (rig->kind == PEER_EVD)
			text_add(text,
			    "{\"cmd\":\"watch\",\"type\":\"timer\","
			    "\"watcher\":\"t-%06zu\",\"after\":3600,"
			    "\"reply\":false}\n",
			    i);
		else if (rig->kind == PEER_REDIS)
			text_add(text,
			    "*5\r\n$3\r\nSET\r\n$8\r\nt-%06zu\r\n"
			    "$1\r\nx\r\n$2\r\nPX\r\n$7\r\n3600000\r\n",
			    i % 1000000);
		else
			text_add(text, "put 0 3600 60 8\r\nt-%06zu\r\n",
			    i % 1000000);
	}
	if (rig->kind != PEER_EVD)
		return (n);
	text_add(text, "{\"cmd\":\"now\"}\n");
	return (1);
}

/* Each round has a daemon of its own: nothing of the last one is left. */
static void
fill(struct rig *rig, size_t n, double *seconds, double *bytes)
{
	size_t lines;
	double begun, before;

	text_free(&rig->text);
	lines = build(rig, n);
	peer_start(&rig->peer, rig->kind);
	rig_stream(rig);
	before = process_private(rig->peer.pid);
	begun = now();
	stream_exchange(&rig->streams[0], rig->text.data, rig->text.len, lines);
	*seconds = now() - begun;
	*bytes = (process_private(rig->peer.pid) - before) / n;
	stream_close(&rig->streams[--rig->n_streams]);
	peer_stop(&rig->peer);
}

static void
rate(struct rig *rig, double *figures)
{
	size_t n = sized(rig, TIMERS);
	double seconds, bytes;

	fill(rig, n, &seconds, &bytes);
	figures[0] = n / seconds;
}

static void
expired(struct ev_loop *loop, ev_timer *timer, int revents)
{
}

static double
time_in_process(size_t n)
{
	struct ev_loop *loop = ev_loop_new(EVFLAG_NOENV);
	double begun = now();

	for (size_t i = 0; i < n; i++) {
		ev_timer *timer = malloc(sizeof *timer);

		ev_timer_init(timer, expired, 3600, 0);
		ev_timer_start(loop, timer);
	}
	return (n / (now() - begun));
}

/* In a process of its own, as the others: its memory is as fresh. */
static void
rate_in_process(struct rig *rig, double *figures)
{
	int ends[2];
	pid_t pid;

	if (pipe(ends) == -1 || (pid = fork()) == -1)
		fatal("no process");
	if (pid == 0) {
		figures[0] = time_in_process(sized(rig, TIMERS));
		_exit(write(ends[1], figures, sizeof *figures) == -1);
	}
	close(ends[1]);
	if (read(ends[0], figures, sizeof *figures) != sizeof *figures)
		fatal("no figure");
	close(ends[0]);
	waitpid(pid, NULL, 0);
}

static void
memory(struct rig *rig, double *figures)
{
	double seconds;

	fill(rig, sized(rig, MANY), &seconds, &figures[0]);
}

const struct scenario register_scenario = {
	.name = "register",
	.title = "200,000 named timers, one command each, pipelined",
	.measures = { { "rate", "timers a second", 1, true,
	    "0.20 of in-process libev, 3 times Redis", 0.20 } },
	.subjects = { { "in-process libev", -1, NULL, NULL, rate_in_process },
	    { "evd", PEER_EVD, NULL, NULL, rate },
	    { "redis SET PX", PEER_REDIS, NULL, NULL, rate },
	    { "beanstalkd put", PEER_BEANSTALKD, NULL, NULL, rate } },
	.rounds = 15,
	.quick_rounds = 5,
	.quick = 4,
};

const struct scenario memory_scenario = {
	.name = "memory",
	.title = "a million named timers",
	.measures = { { "private memory of each", "bytes", 1, false,
	    "200 bytes" } },
	.subjects = { { "redis SET PX", PEER_REDIS, NULL, NULL, memory },
	    { "evd", PEER_EVD, NULL, NULL, memory },
	    { "beanstalkd put", PEER_BEANSTALKD, NULL, NULL, memory } },
	.rounds = 3,
	.quick_rounds = 1,
	.quick = 5,
};
