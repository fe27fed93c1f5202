/* How late timers are, of many that are due within a short time. */
#include "config.h"
#include "bench.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMERS 100000
#define WITHIN 2.0 /* seconds */
/* Until the first is due: all are registered long before. */
#define LEAD 1.0

/* Deadlines, in an order that has nothing to do with time. */
static double
deadline(double first, size_t i, size_t n, double within)
{
	return (first + (i * 2654435761U % n) * within / n);
}

static void
put_figures(double *lateness, size_t n, double *figures)
{
	figures[0] = quantile(lateness, n, 0.5);
	figures[1] = quantile(lateness, n, 0.99);
	free(lateness);
}

struct probe {
	ev_timer timer;
	double due, *lateness;
};

static void
expired(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct probe *probe = (struct probe *)timer;

	*probe->lateness = now() - probe->due;
}

static void
round_in_process(struct rig *rig, double *figures)
{
	struct ev_loop *loop = ev_loop_new(EVFLAG_NOENV);
	size_t n = sized(rig, TIMERS);
	double within = WITHIN / rig->quick, first = now() + LEAD;
	struct probe *probes = calloc(n, sizeof *probes);
	double *lateness = calloc(n, sizeof *lateness);

	for (size_t i = 0; i < n; i++) {
		struct probe *probe = &probes[i];

		probe->due = deadline(first, i, n, within);
		probe->lateness = &lateness[i];
		if (i % 100 == 0)
			ev_now_update(loop);
		ev_timer_init(&probe->timer, expired, probe->due - now(), 0);
		ev_timer_start(loop, &probe->timer);
	}
	ev_run(loop, 0);
	ev_loop_destroy(loop);
	free(probes);
	put_figures(lateness, n, figures);
}

static void
open_evd(struct rig *rig)
{
	peer_start(&rig->peer, PEER_EVD);
	rig_stream(rig);
}

static void
round_evd(struct rig *rig, double *figures)
{
	struct stream *stream = &rig->streams[0];
	size_t n = sized(rig, TIMERS);
	double within = WITHIN / rig->quick;
	double *lateness = calloc(n, sizeof *lateness), first;

	text_free(&rig->text);
	first = now() + LEAD;
	for (size_t i = 0; i < n; i++)
		text_add(&rig->text,
		    "{\"cmd\":\"watch\",\"type\":\"timer\","
		    "\"watcher\":%zu,\"at\":%.6f,"
		    "\"release\":true,\"reply\":false}\n",
		    i, deadline(first, i, n, within));
	text_add(&rig->text, "{\"cmd\":\"now\"}\n");
	stream_exchange(stream, rig->text.data, rig->text.len, 1);
	for (size_t k = 0; k < n; k++) {
		char *name = strstr(stream_line(stream), "\"watcher\":");
		size_t i;

		if (name == NULL)
			fatal("not an event");
		i = strtoul(name + 10, NULL, 10);
		lateness[i] = now() - deadline(first, i, n, within);
	}
	put_figures(lateness, n, figures);
}

static void
open_redis(struct rig *rig)
{
	peer_start(&rig->peer, PEER_REDIS);
	rig_stream(rig);
	rig_stream(rig);
	stream_exchange(&rig->streams[0],
	    "SUBSCRIBE __keyevent@0__:expired\r\n", 34, 6);
}

/* Its clock is the wall's, in milliseconds. */
static void
round_redis(struct rig *rig, double *figures)
{
	struct stream *stream = &rig->streams[0];
	size_t n = sized(rig, TIMERS);
	double within = WITHIN / rig->quick, first = now() + LEAD;
	double *lateness = calloc(n, sizeof *lateness),
	       wall = ev_time() - now();

	text_free(&rig->text);
	for (size_t i = 0; i < n; i++)
		text_add(&rig->text, "SET %zu x PXAT %.0f\r\n", i,
		    (deadline(first, i, n, within) + wall) * 1e3);
	stream_exchange(&rig->streams[1], rig->text.data, rig->text.len, n);
	for (size_t k = 0; k < n; k++) {
		size_t i;

		for (int line = 0; line < 6; line++)
			stream_line(stream);
		i = strtoul(stream_line(stream), NULL, 10);
		lateness[i] = now() - deadline(first, i, n, within);
	}
	put_figures(lateness, n, figures);
}

const struct scenario lateness_scenario = {
	.name = "lateness",
	.title = "100,000 timers due within 2 s, from due to the reader",
	.measures = { { "median", "ms", 1e3, false, "1.2", 1.2 },
	    { "99 %", "ms", 1e3, false, "5 ms" } },
	.subjects = { { "in-process libev", -1, NULL, NULL, round_in_process },
	    { "evd", PEER_EVD, NULL, open_evd, round_evd },
	    { "redis expiry", PEER_REDIS, NULL, open_redis, round_redis } },
	.rounds = 15,
	.quick_rounds = 5,
	.quick = 5,
};
