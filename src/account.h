#ifndef EVD_ACCOUNT_H
#define EVD_ACCOUNT_H

#include <stdint.h>
#include <sys/types.h>

#include "message.h"
#include "table.h"

/*
 * What a uid, and each of its sessions, may hold.  All that clients can make
 * the daemon keep is charged here before it is taken, and refused where it
 * would be too much; what one uid holds takes nothing from another.
 */
enum limit {
	LIMIT_SESSIONS, /* of a uid; a session has no such limit */
	LIMIT_WATCHERS,
	LIMIT_BYTES,	   /* of names, data and paths; room for events */
	LIMIT_DESCRIPTORS, /* passed, or opened for a watcher */
	LIMIT_CHILDREN,	   /* spawned, until evd has reaped them */
	LIMITS
};

struct limit_info {
	const char *name;	    /* in hello and in messages */
	const char *uid_option;	    /* without the dashes */
	const char *session_option; /* NULL: no such limit */
	uint64_t value;		    /* by default, of a uid */
};

extern const struct limit_info limit_infos[LIMITS];

struct limits {
	uint64_t uid[LIMITS];
	uint64_t session[LIMITS];
	uint64_t used[LIMITS]; /* by all uids together */
	int fd_end; /* clients' descriptors are below, for all to have room */
	struct table accounts; /* of uids that hold anything */
};

/* The defaults; a session's are its uid's. */
void limits_init(struct limits *);
void limits_fini(struct limits *);

struct limits_uid;

/* What one session holds.  It stands in its uid's account as well. */
struct account {
	struct limits *limits;
	struct limits_uid *uid;
	uint64_t used[LIMITS];
};

/* Nothing is charged yet.  Ends with account_fini(). */
void account_init(struct account *, struct limits *, uid_t);
/* Gives back all that is still charged. */
void account_fini(struct account *);

/* Returns 0, or -1 with the error, which names the limit and its value. */
int account_charge(struct account *, enum limit, uint64_t, struct error *);
/* At most what was charged. */
void account_discharge(struct account *, enum limit, uint64_t);

/*
 * Whether a descriptor that is to be kept for a client leaves the process
 * room for what it needs itself.  Returns 0, or -1 with the error.
 */
int account_check_fd(const struct account *, int fd, struct error *);

uid_t account_uid(const struct account *);

#endif
