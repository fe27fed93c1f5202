/* How long one question takes, with nothing else to do. */
#include "config.h"
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#define QUESTIONS 2000

static const char *const questions[] = {
	[PEER_EVD] = "{\"cmd\":\"now\"}\n",
	[PEER_LINES] = "{\"cmd\":\"now\"}\n",
	[PEER_REDIS] = "PING\r\n",
	[PEER_BEANSTALKD] = "list-tube-used\r\n",
	[PEER_WATCHMAN] = "[\"version\"]\n",
};

static void
open_peer(struct rig *rig)
{
	peer_start(&rig->peer, rig->kind);
	pin(rig->peer.pid);
	rig_stream(rig);
	text_add(&rig->text, "%s", questions[rig->kind]);
}

static void
ask(struct rig *rig, double *figures)
{
	size_t n = sized(rig, QUESTIONS);
	double *waits = calloc(n, sizeof *waits);

	for (size_t i = 0; i < n; i++) {
		double asked = now();

		stream_exchange(&rig->streams[0], rig->text.data, rig->text.len,
		    1);
		waits[i] = now() - asked;
	}
	figures[0] = quantile(waits, n, 0.5);
	figures[1] = quantile(waits, n, 0.99);
	free(waits);
}

const struct scenario roundtrip_scenario = {
	.name = "roundtrip",
	.title = "one client asks for the time and waits for the answer",
	.one_core = true,
	.measures = { { "median", "us", 1e6, false, "1.15", 1.15 },
	    { "99 %", "us", 1e6 } },
	.subjects = { { "line server", PEER_LINES, NULL, open_peer, ask },
	    { "evd now", PEER_EVD, NULL, open_peer, ask },
	    { "redis PING", PEER_REDIS, NULL, open_peer, ask },
	    { "beanstalkd", PEER_BEANSTALKD, NULL, open_peer, ask },
	    { "watchman version", PEER_WATCHMAN, NULL, open_peer, ask } },
	.rounds = 15,
	.quick_rounds = 15,
	.quick = 4,
};
