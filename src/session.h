#ifndef EVD_SESSION_H
#define EVD_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "account.h"
#include "registry.h"
#include "stats.h"
#include "table.h"
#include "watcher.h"

/*
 * A session is a virtual libev loop: it owns watchers by name, and knows which
 * of them have an event pending or are held.  What is written of that, and
 * when, see batch.h.
 *
 * What is pending and ready stands in one of two sets of queues, a queue for
 * each priority.  One set is the batch that is being written; what fires
 * meanwhile goes into the other.  When the batch is written the two change
 * roles.  Held watchers stand in a queue of their own, in order of the seq
 * of the event that was written; what they have pending is not ready.
 *
 * Watchers that are about the session itself wait in sets of their own until
 * it fires them: checks when a batch begins, prepares when it ends, idles when
 * nothing else is ready.  A batch fires those that waited before it began; as
 * they go to the end of their queue, none is asked twice and none is missed,
 * however many writes the batch takes and whatever comes and goes meanwhile.
 */
#define PRIORITIES (2 * PRIORITY_MAX + 1)

struct session_set {
	struct watcher_list queues[PRIORITIES];
	size_t n;
};

/* Counts a session's watchers, in several goes: see verify.h. */
struct session_census {
	struct watcher *next; /* NULL: all were counted */
	bool still;    /* nothing has come, gone or moved since it began */
	size_t active; /* that there were then */
	size_t n, n_active;
	size_t queued[QUEUE_HELD + 1]; /* by enum watcher_queue */
};

struct session {
	struct watcher_host host; /* first */
	struct registry_entry id; /* its name and number */
	struct registry *registry;
	struct account account;
	struct children_set children;
	struct peer peer;		   /* whose it is */
	void (*on_work)(struct session *); /* there is an event to write */
	void *owner;
	TAILQ_ENTRY(session) entry; /* the owner's */
	struct stats *stats;
	double created; /* CLOCK_MONOTONIC */

	struct table names; /* of watchers */
	struct watcher_list watchers;
	struct session_set sets[QUEUE_HELD]; /* by enum watcher_queue */
	struct watcher_list held;
	size_t n_held;
	enum watcher_queue batch;   /* which ready set is being written */
	struct watcher_list *idles; /* that this batch fires; NULL: none */
	uint64_t batches;	    /* begun */
	uint64_t seq;		    /* of the last event written */
	int64_t refs;		    /* added to the number of active watchers */
	struct gather gather;	    /* for the next batch */
	struct session_census census;

	bool hold_all;	  /* watchers hold unless they say not */
	bool input_ended; /* no ack can come: nothing is held any more */
	bool batch_ends;  /* the batch has an event of a watcher with `end` */
	bool finished;	  /* such a batch has been written */
	bool ended;	  /* its client is gone: nothing fires */
	bool writing;	  /* its owner knows that there is work */
	bool suspended;	  /* see pause.h */
	bool at_once;	  /* batches begin whatever is gathered */
};

TAILQ_HEAD(session_list, session);

struct session_config {
	struct registry *registry;
	struct ev_loop *loop;
	struct timelines *timelines;
	struct alarms *alarms;
	struct zones *zones;
	struct limits *limits;
	struct fdpoll *fdpoll;
	struct pidpoll *pidpoll;
	struct children *children;
	struct signals *signals;
	struct stats *stats;
	struct dirwatch *dirwatch;
	const struct socket_listener *listener;
	const struct peer *peer; /* is copied */
	void (*on_work)(struct session *);
	void *owner;
};

struct session *session_new(const struct session_config *);

/* The name is free again, and nothing fires any more. */
void session_end(struct session *);
/*
 * Lets go of up to *budget children and watchers of a session that has ended,
 * and takes their number from it.  Returns true when the session itself is
 * freed.
 */
bool session_free_some(struct session *, size_t *budget);

/* The session of registry_find() and of registry_next(), borrowed; or NULL. */
struct session *session_find(const struct registry *, uid_t, struct slice,
    struct error *);
struct session *session_next_by_number(const struct registry *,
    uint64_t *number, size_t *visits);
/* See registry_rename(). */
int session_rename(struct session *, struct slice, struct error *);

struct watch_options {
	int priority;
	struct slice data; /* of length 0: none */
	bool start;
	bool hold;
	bool once;
	bool release;
	bool end;
	int *fd; /* passed, or -1; -1 when the watcher has taken it */
};

/*
 * A watcher whose name has that text will be looked for, or registered, a bit
 * later: by then memory may have what that needs.
 */
void session_expect_watcher(const struct session *, struct slice json);
/* Registers a watcher.  NULL with the error, and nothing is left of it. */
struct watcher *session_watch(struct session *, const struct watcher_class *,
    const struct name *, const struct watch_options *, const void *args,
    struct error *);
/* Stops and frees it. */
void session_unwatch(struct session *, struct watcher *, struct cleared *);
/* Borrowed; NULL with the error. */
struct watcher *session_find_watcher(const struct session *,
    const struct name *, struct error *);
/* The same, for a session that asks, and the member that it has named it in. */
struct watcher *session_find_watcher_for(const struct session *,
    const struct session *asks, const char *member, const struct name *,
    struct error *);
/*
 * Changes what is charged for a watcher's data from one size to another.
 * Returns 0, or -1 with the error and nothing changed; to a smaller size never
 * fails.
 */
int session_charge_data(struct session *, size_t from, size_t to,
    struct error *);

/*
 * Frees held watchers whose event had a seq up to the one given, at most max
 * of them.  Returns how many; less than max: these were all.
 */
size_t session_ack(struct session *, uint64_t seq, size_t max);
/* Frees one, if it is held. */
bool session_ack_watcher(struct session *, struct watcher *);

/* The client's input has ended; see session_drop_holds(). */
void session_end_input(struct session *);
/* Ends up to max holds then.  Returns true when there is none left. */
bool session_drop_holds(struct session *, size_t max);

/* An interval of its gather was set. */
void session_gather(struct session *);

/* The session as a loop is reset: its fork watchers fire. */
void session_reset(struct session *);
/* Up to so many of them.  Returns true when all have. */
bool session_fire_resets(struct session *, size_t max);

/* How many watchers have an event that is ready. */
size_t session_n_ready(const struct session *);
/*
 * Whether all that was due at that time of the session's has fired.  A
 * suspended one's has.
 */
bool session_has_fired(const struct session *, double time);

/* The input has ended, and no active watcher keeps the session going. */
static inline bool
session_is_left(const struct session *s)
{
	return s->input_ended && (int64_t)s->host.n_active + s->refs <= 0;
}

/*
 * For batches, which take watchers out of their queues.  The set of what
 * belongs to the next one:
 */
static inline enum watcher_queue
session_next_set(const struct session *s)
{
	return QUEUE_READY_0 + QUEUE_READY_1 - s->batch;
}

/* Of a watcher that is ready or waits. */
static inline struct watcher_list *
session_queue_of(struct session *s, const struct watcher *w)
{
	return &s->sets[w->queue].queues[PRIORITY_MAX - w->priority];
}

/* Out of where it is: ready, waiting or held; or nowhere. */
void session_dequeue(struct watcher *);
/* Held, as its event was written, which was the last one; in no queue. */
static inline void
session_hold(struct session *s, struct watcher *w)
{
	w->seq = s->seq;
	w->queue = QUEUE_HELD;
	TAILQ_INSERT_TAIL(&s->held, w, queued);
	s->n_held++;
}

/* To be released: frees it if its own event has stopped it. */
void session_forget_spent(struct session *, struct watcher *);

#endif
