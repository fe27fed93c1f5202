/* What it costs to have one running. */
#include "config.h"
#include "bench.h"

#include <unistd.h>

#define REST 1.0 /* seconds in which wake-ups are counted */

static void
start(struct rig *rig, enum peer_kind kind, const char *question,
    double *figures)
{
	double begun = now(), sleeps;
	int fd;

	peer_spawn(&rig->peer, kind);
	while ((fd = peer_try_connect(&rig->peer)) == -1)
		pause_for(0.0001);
	close(fd);
	rig_stream(rig);
	stream_send(&rig->streams[0], question);
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

static void
round_lines(struct rig *rig, double *figures)
{
	start(rig, PEER_LINES, "{\"cmd\":\"now\"}\n", figures);
}

static void
round_evd(struct rig *rig, double *figures)
{
	start(rig, PEER_EVD, "{\"cmd\":\"hello\"}\n", figures);
}

static void
round_redis(struct rig *rig, double *figures)
{
	start(rig, PEER_REDIS, "PING\r\n", figures);
}

static void
round_beanstalkd(struct rig *rig, double *figures)
{
	start(rig, PEER_BEANSTALKD, "list-tube-used\r\n", figures);
}

const struct scenario footprint_scenario = {
	.name = "footprint",
	.title = "started, asked once, and left alone",
	.measures = { { "first answer after start", "ms", 1e3, false, "5 ms" },
	    { "private memory", "KiB", 1.0 / 1024, false, "400 KiB" },
	    { "wake-ups in a second of rest", "", 1, false, "0" } },
	.subjects = { { "line server", PEER_LINES, NULL, NULL, round_lines },
	    { "evd", PEER_EVD, NULL, NULL, round_evd },
	    { "redis", PEER_REDIS, NULL, NULL, round_redis },
	    { "beanstalkd", PEER_BEANSTALKD, NULL, NULL, round_beanstalkd } },
	.rounds = 15,
	.quick_rounds = 5,
	.quick = 5,
};
