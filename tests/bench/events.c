/* How fast events are made and written, to one client and to many. */
#include "config.h"
#include "bench.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#define EVENTS	10000
#define CLIENTS 100
#define TURNS	20

/* The event line of evd that everybody writes. */
#define LINE                                                        \
	"{\"event\":\"signal\",\"watcher\":12345,\"revents\":1024," \
	"\"seq\":1234567,\"time\":1795397820.123456,\"signum\":10}"

static void
time_lines(struct rig *rig, struct stream *to, size_t lines, double *figures)
{
	double begun = now();
	size_t n = 0;

	stream_send(to, rig->text.data);
	while (n < lines)
		n += stream_drain(&rig->streams[0]);
	figures[0] = sized(rig, EVENTS) / (now() - begun);
}

/* One command marks all watchers of a signal of the session. */
static void
open_evd(struct rig *rig)
{
	struct text watches = { 0 };
	size_t n = sized(rig, EVENTS);

	peer_start(&rig->peer, PEER_EVD);
	rig_stream(rig);
	for (size_t i = 0; i < n; i++)
		text_add(&watches,
		    "{\"cmd\":\"watch\",\"type\":\"signal\","
		    "\"watcher\":%zu,\"signum\":\"USR1\","
		    "\"fed\":true,\"reply\":false}\n",
		    i + 10000);
	text_add(&watches, "{\"cmd\":\"now\"}\n");
	stream_exchange(&rig->streams[0], watches.data, watches.len, 1);
	text_free(&watches);
	text_add(&rig->text,
	    "{\"cmd\":\"feed_signal\",\"signum\":\"USR1\","
	    "\"reply\":false}\n");
}

static void
open_lines(struct rig *rig)
{
	peer_start(&rig->peer, PEER_LINES);
	stream_send(rig_stream(rig), "=" LINE "\n");
	text_add(&rig->text, "g%zu\n", sized(rig, EVENTS));
}

static void
round_lines(struct rig *rig, double *figures)
{
	time_lines(rig, &rig->streams[0], sized(rig, EVENTS), figures);
}

static void
open_redis(struct rig *rig)
{
	peer_start(&rig->peer, PEER_REDIS);
	rig_stream(rig);
	stream_exchange(&rig->streams[0], "SUBSCRIBE c\r\n", 13, 6);
	rig_stream(rig);
	text_add(&rig->text,
	    "EVAL \"for i=1,%zu do "
	    "redis.call('publish','c',ARGV[1]) end\" 0 x%.*s\r\n",
	    sized(rig, EVENTS), (int)sizeof LINE - 3,
	    "xxxxxxxxxxxxxxxxxxxxxxxxxx"
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
}

/* A message is an array of three: seven lines. */
static void
round_redis(struct rig *rig, double *figures)
{
	time_lines(rig, &rig->streams[1], 7 * sized(rig, EVENTS), figures);
	stream_line(&rig->streams[1]);
}

static void
open_nats_client(struct rig *rig, const char *more, size_t lines)
{
	struct stream *stream = rig_stream(rig);
	struct text text = { 0 };

	stream_line(stream); /* INFO */
	text_add(&text, "CONNECT {\"verbose\":false}\r\n%sPING\r\n", more);
	stream_exchange(stream, text.data, text.len, lines);
	text_free(&text);
}

static void
open_nats(struct rig *rig)
{
	peer_start(&rig->peer, PEER_NATS);
	open_nats_client(rig, "SUB c 1\r\n", 1);
	open_nats_client(rig, "", 1);
	for (size_t i = 0; i < sized(rig, EVENTS); i++)
		text_add(&rig->text, "PUB c %zu\r\n" LINE "\r\n",
		    sizeof LINE - 1);
}

/* The publisher is a program of its own, as the reader must go on reading. */
static void
round_nats(struct rig *rig, double *figures)
{
	double begun = now();
	size_t n = 0, lines = 2 * sized(rig, EVENTS);
	pid_t pid = fork();

	if (pid == 0) {
		stream_send(&rig->streams[1], rig->text.data);
		_exit(0);
	}
	while (n < lines)
		n += stream_drain(&rig->streams[0]);
	figures[0] = sized(rig, EVENTS) / (now() - begun);
	waitpid(pid, NULL, 0);
}

const struct scenario events_scenario = {
	.name = "events",
	.title = "one cause in the server, 10,000 events to one reading client",
	.measures = { { "rate", "events a second", 1, true, "0.25", 0.25 } },
	.subjects = { { "line server, prebuilt", PEER_LINES, NULL, open_lines,
			  round_lines },
	    { "evd", PEER_EVD, NULL, open_evd, round_lines },
	    { "redis publish in Lua", PEER_REDIS, NULL, open_redis,
		round_redis },
	    { "nats", PEER_NATS, NULL, open_nats, round_nats } },
	.rounds = 15,
	.quick_rounds = 15,
	.quick = 1,
};

/* One event to each of many clients. */

struct crowd {
	int epoll;
	struct stream control; /* what causes the events */
};

/* All connections but the last, which is the control. */
static void
gather(struct rig *rig)
{
	struct crowd *crowd = calloc(1, sizeof *crowd);

	crowd->epoll = epoll_create1(EPOLL_CLOEXEC);
	crowd->control = rig->streams[--rig->n_streams];
	for (size_t i = 0; i < rig->n_streams; i++) {
		struct epoll_event event = { .events = EPOLLIN,
			.data.ptr = &rig->streams[i] };

		epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, rig->streams[i].fd,
		    &event);
	}
	rig->more = crowd;
}

static void
close_crowd(struct rig *rig)
{
	struct crowd *crowd = rig->more;

	stream_close(&crowd->control);
	close(crowd->epoll);
	free(crowd);
}

static void
open_crowd(struct rig *rig, enum peer_kind kind, const char *greeting,
    size_t lines)
{
	peer_start(&rig->peer, kind);
	for (int i = 0; i < CLIENTS; i++) {
		struct stream *stream = rig_stream(rig);

		stream_exchange(stream, greeting, strlen(greeting), lines);
	}
	rig_stream(rig);
}

static void
open_crowd_lines(struct rig *rig)
{
	open_crowd(rig, PEER_LINES, "{\"cmd\":\"now\"}\n", 1);
	gather(rig);
	stream_send(&((struct crowd *)rig->more)->control, "=" LINE "\n");
	text_add(&rig->text, "b\n");
}

/* A signal to the daemon is the cause. */
static void
open_crowd_evd(struct rig *rig)
{
	open_crowd(rig, PEER_EVD,
	    "{\"cmd\":\"watch\",\"type\":\"signal\",\"watcher\":12345,"
	    "\"signum\":\"USR1\"}\n",
	    1);
	gather(rig);
}

static void
open_crowd_redis(struct rig *rig)
{
	open_crowd(rig, PEER_REDIS, "SUBSCRIBE c\r\n", 6);
	gather(rig);
	text_add(&rig->text, "PUBLISH c '" LINE "'\r\n");
}

static void
open_crowd_nats(struct rig *rig)
{
	peer_start(&rig->peer, PEER_NATS);
	for (int i = 0; i < CLIENTS; i++)
		open_nats_client(rig, "SUB c 1\r\n", 1);
	open_nats_client(rig, "", 1);
	gather(rig);
	text_add(&rig->text, "PUB c %zu\r\n" LINE "\r\n", sizeof LINE - 1);
}

static void
read_crowd(struct rig *rig, size_t lines)
{
	struct crowd *crowd = rig->more;
	struct epoll_event events[CLIENTS];
	size_t n = 0;

	while (n < lines * CLIENTS) {
		int ready = epoll_wait(crowd->epoll, events, CLIENTS, -1);

		for (int i = 0; i < ready; i++)
			n += stream_drain(events[i].data.ptr);
	}
}

/* lines: of an event; answers: to the cause. */
static void
round_crowd(struct rig *rig, size_t lines, size_t answers, double *figures)
{
	struct crowd *crowd = rig->more;
	double begun = now();

	for (int i = 0; i < TURNS; i++) {
		if (rig->text.len == 0)
			kill(rig->peer.pid, SIGUSR1);
		else
			stream_send(&crowd->control, rig->text.data);
		read_crowd(rig, lines);
		stream_exchange(&crowd->control, "", 0, answers);
	}
	figures[0] = TURNS * CLIENTS / (now() - begun);
}

static void
round_crowd_lines(struct rig *rig, double *figures)
{
	round_crowd(rig, 1, 0, figures);
}

static void
round_crowd_redis(struct rig *rig, double *figures)
{
	round_crowd(rig, 7, 1, figures);
}

static void
round_crowd_nats(struct rig *rig, double *figures)
{
	round_crowd(rig, 2, 0, figures);
}

const struct scenario fanout_scenario = {
	.name = "fanout",
	.title = "one cause in the server, one event to each of 100 clients",
	.measures = { { "rate", "events a second", 1, true, "0.45", 0.45 } },
	.subjects = { { "line server, prebuilt", PEER_LINES, NULL,
			  open_crowd_lines, round_crowd_lines, close_crowd },
	    { "evd", PEER_EVD, NULL, open_crowd_evd, round_crowd_lines,
		close_crowd },
	    { "redis PUBLISH", PEER_REDIS, NULL, open_crowd_redis,
		round_crowd_redis, close_crowd },
	    { "nats", PEER_NATS, NULL, open_crowd_nats, round_crowd_nats,
		close_crowd } },
	.rounds = 15,
	.quick_rounds = 15,
	.quick = 1,
};
