/* What it costs to have one running. */
#include "config.h"
#include "bench.h"

#include <unistd.h>

#define REST 1.0 /* seconds in which wake-ups are counted */

static const char *const questions[] = {
	[PEER_EVD] = "{\"cmd\":\"hello\"}\n",
	[PEER_LINES] = "{\"cmd\":\"now\"}\n",
	[PEER_REDIS] = "PING\r\n",
	[PEER_BEANSTALKD] = "list-tube-used\r\n",
};

static void
start(struct rig *rig, double *figures)
{
	double begun = now(), sleeps;
	int fd;

	peer_spawn(&rig->peer, rig->kind);
	while ((fd = peer_try_connect(&rig->peer)) == -1)
		pause_for(0.0001);
	close(fd);
	rig_stream(rig);
	stream_send(&rig->streams[0], questions[rig->kind]);
	stream_line(&rig->streams[0]);
	figures[0] = now() - begun;
	stream_close(&rig->streams[--rig->n_streams]);
	pause_for(0.01);
	sleeps = process_sleeps(rig->peer.pid);
	pause_for(REST / rig->quick);
	figures[1] = process_private(rig->peer.pid);
	figures[2] = process_sleeps(rig->peer.pid) - sleeps;
	peer_stop(&rig->peer);
}

const struct scenario footprint_scenario = {
	.name = "footprint",
	.title = "started, asked once, and left alone",
	.measures = { { "first answer after start", "ms", 1e3, false, "5 ms" },
	    { "private memory", "KiB", 1.0 / 1024, false, "400 KiB" },
	    { "wake-ups in a second of rest", "", 1, false, "0" } },
	.subjects = { { "line server", PEER_LINES, NULL, NULL, start },
	    { "evd", PEER_EVD, NULL, NULL, start },
	    { "redis", PEER_REDIS, NULL, NULL, start },
	    { "beanstalkd", PEER_BEANSTALKD, NULL, NULL, start } },
	.rounds = 15,
	.quick_rounds = 5,
	.quick = 5,
};
