#include "config.h"

#include "refusal.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "log.h"

/* Neighbours, as most pids and uids are, have places of their own. */
static size_t
refusal_place(uint32_t a, uint32_t b)
{
	return (a + b * 31) % REFUSAL_PLACES;
}

static struct throttle *
refusal_process(struct refusals *refusals, const struct peer *peer)
{
	struct refusal_process *process =
	    &refusals->processes[refusal_place((uint32_t)peer->pid, peer->uid)];

	if (process->pid != peer->pid || process->uid != peer->uid)
		*process = (struct refusal_process){ .pid = peer->pid,
			.uid = peer->uid };
	return &process->throttle;
}

static bool
refusal_is_allowed(struct refusals *refusals, const struct peer *peer,
    double now)
{
	struct throttle *process = refusal_process(refusals, peer);
	struct throttle *uid = &refusals->uids[refusal_place(peer->uid, 0)];

	if (!throttle_has_room(process, now, REFUSAL_PROCESS_MAX,
		REFUSAL_SECONDS) ||
	    !throttle_has_room(uid, now, REFUSAL_UID_MAX, REFUSAL_SECONDS))
		return false;
	throttle_use(process, now, REFUSAL_SECONDS);
	throttle_use(uid, now, REFUSAL_SECONDS);
	return true;
}

void
refusal_log(struct refusals *refusals, const struct peer *peer, double now,
    const char *text)
{
	char who[PEER_SHOWN_SIZE], shown[512], left_out[64] = "";

	if (!log_wants(LEVEL_NOTICE))
		return;
	if (!refusal_is_allowed(refusals, peer, now)) {
		refusals->left_out++;
		return;
	}
	if (refusals->left_out > 0)
		snprintf(left_out, sizeof(left_out),
		    " (%lu such lines were left out)", refusals->left_out);
	refusals->left_out = 0;
	log_notice("refused %s: %s%s", peer_show(peer, who),
	    log_escape(shown, sizeof(shown), text, strlen(text)), left_out);
}

void
refusal_log_error(struct refusals *refusals, const struct peer *peer,
    double now, const struct error *error)
{
	if (error->code == ERROR_PERMISSION_DENIED ||
	    error->code == ERROR_LIMIT_EXCEEDED)
		refusal_log(refusals, peer, now, error->message);
}

void
refusals_fini(struct refusals *refusals)
{
	if (refusals->left_out > 0)
		log_notice("%lu lines about what was refused were left out",
		    refusals->left_out);
}
