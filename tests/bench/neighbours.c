/* What a quiet client feels of the others. */
#include "config.h"
#include "bench.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define QUESTIONS 2000
#define MILLION	  1000000
#define FREEING	  3.0 /* seconds, more than a million take */

#define NOW "{\"cmd\":\"now\"}\n"

static double
ask(struct rig *rig)
{
	double asked = now();

	stream_exchange(&rig->streams[0], NOW, sizeof NOW - 1, 1);
	return (now() - asked);
}

static void
open_quiet(struct rig *rig)
{
	peer_start(&rig->peer, PEER_EVD);
	rig_stream(rig);
}

static void
ask_often(struct rig *rig, double *figures)
{
	size_t n = sized(rig, QUESTIONS);
	double *waits = calloc(n, sizeof *waits);

	for (size_t i = 0; i < n; i++)
		waits[i] = ask(rig);
	figures[0] = quantile(waits, n, 0.5);
	figures[1] = quantile(waits, n, 0.99);
	figures[2] = waits[n - 1];
	free(waits);
}

/* Writes commands for ever, and reads whatever it is told. */
static void
flood(struct rig *rig)
{
	struct stream stream;
	struct text text = { 0 };

	stream_open(&stream, peer_connect(&rig->peer));
	for (int i = 0; i < 2000; i++)
		text_add(&text, "{\"cmd\":\"update\",\"reply\":false}\n");
	for (;;)
		stream_exchange(&stream, text.data, text.len, 0);
}

/* The flood is there, when evd has used a hundredth of a second. */
static void
wait_for_flood(struct rig *rig)
{
	for (int i = 0; i < 20; i++) {
		ask(rig);
		pause_for(0.001);
	}
}

static void
round_flooded(struct rig *rig, double *figures)
{
	pid_t pid = fork();

	if (pid == 0)
		flood(rig);
	wait_for_flood(rig);
	ask_often(rig, figures);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

const struct scenario neighbour_scenario = {
	.name = "neighbour",
	.title =
	    "a quiet client asks for the time while another floods commands",
	.measures = { { "median", "us", 1e6, false, "3", 3 },
	    { "99 %", "us", 1e6 }, { "worst", "ms", 1e3 } },
	.subjects = { { "evd alone", PEER_EVD, NULL, open_quiet, ask_often },
	    { "evd beside a flood", PEER_EVD, NULL, open_quiet,
		round_flooded } },
	.rounds = 15,
	.quick_rounds = 15,
	.quick = 10,
};

/* Holds its timers until its standard input, so to say, ends. */
static void
hold_timers(struct rig *rig, size_t n, int ready, int end)
{
	struct stream stream;
	struct text text = { 0 };
	char byte = 'x';

	stream_open(&stream, peer_connect(&rig->peer));
	for (size_t i = 0; i < n; i++)
		text_add(&text,
		    "{\"cmd\":\"watch\",\"type\":\"timer\","
		    "\"watcher\":%zu,\"after\":3600,"
		    "\"reply\":false}\n",
		    i);
	text_add(&text, NOW);
	stream_exchange(&stream, text.data, text.len, 1);
	if (write(ready, &byte, 1) != 1 || read(end, &byte, 1) == -1)
		_exit(1);
	_exit(0); /* and its connection ends */
}

static void
round_ending(struct rig *rig, double *figures)
{
	size_t n = sized(rig, MILLION);
	double begun;
	int ready[2], end[2];
	char byte;
	pid_t pid;

	if (pipe(ready) == -1 || pipe(end) == -1 || (pid = fork()) == -1)
		fatal("no process");
	figures[0] = 0;
	if (pid == 0) {
		close(end[1]);
		hold_timers(rig, n, ready[1], end[0]);
	}
	close(ready[1]);
	close(end[0]);
	if (read(ready[0], &byte, 1) != 1)
		fatal("the timers could not be registered");
	close(end[1]);
	begun = now();
	while (now() - begun < FREEING / rig->quick) {
		double wait = ask(rig);

		if (wait > figures[0])
			figures[0] = wait;
	}
	close(ready[0]);
	waitpid(pid, NULL, 0);
}

const struct scenario ending_scenario = {
	.name = "ending",
	.title = "a quiet client asks while another ends with a million timers",
	.measures = { { "worst answer", "ms", 1e3, false, "10 ms" } },
	.subjects = { { "evd", PEER_EVD, NULL, open_quiet, round_ending } },
	.rounds = 5,
	.quick_rounds = 1,
	.quick = 10,
};
