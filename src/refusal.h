#ifndef EVD_REFUSAL_H
#define EVD_REFUSAL_H

#include "message.h"
#include "peer.h"
#include "throttle.h"

/*
 * What was refused to whom, in the log, for the operator: a missing right or
 * a limit.  A peer can cause that as often as it likes, so that each process
 * has REFUSAL_PROCESS_MAX lines in REFUSAL_SECONDS, and each uid
 * REFUSAL_UID_MAX.  The next line that is written says how many were not.
 *
 * The room for that is bounded, too: uids that share a place in the table
 * share what it allows.  A process takes the place of another, and begins
 * anew there: what that lets through is bounded by its uid's lines.
 */
#define REFUSAL_SECONDS	    10.0
#define REFUSAL_PROCESS_MAX 5
#define REFUSAL_UID_MAX	    20
#define REFUSAL_PLACES	    64

struct refusal_process {
	pid_t pid;
	uid_t uid;
	struct throttle throttle;
};

/* Zeroed at first. */
struct refusals {
	struct refusal_process processes[REFUSAL_PLACES];
	struct throttle uids[REFUSAL_PLACES];
	unsigned long left_out; /* since the last line */
};

/* now: by any clock that never goes back.  text: from a client, partly. */
void refusal_log(struct refusals *, const struct peer *, double now,
    const char *text);
/* The same, if the error is one of those: others are the client's business. */
void refusal_log_error(struct refusals *, const struct peer *, double now,
    const struct error *);
/* At the end: how many were left out since the last line. */
void refusals_fini(struct refusals *);

#endif
