#ifndef EVD_SESSION_H
#define EVD_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "account.h"
#include "buffer.h"
#include "hash.h"
#include "stats.h"
#include "table.h"
#include "watcher.h"

/*
 * A session is a virtual libev loop: it owns watchers by name, knows which of
 * them have an event pending or are held, and writes the events when it is
 * asked to, in batches.
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

struct session_slot {
	uint64_t number;
	struct session *session; /* NULL: it has ended */
};

/* All sessions, by uid and name, and by number. */
struct session_registry {
	struct table table;
	struct hash_key key;	    /* for names of watchers as well */
	uint64_t last;		    /* number given */
	struct session_slot *slots; /* by number; also of some that ended */
	size_t n_slots, size;
};

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
	struct table_node node;	  /* in the registry */
	struct session_registry *registry;
	struct account account;
	struct children_set children;
	struct peer peer;		   /* whose it is */
	void (*on_work)(struct session *); /* there is an event to write */
	void *owner;
	TAILQ_ENTRY(session) entry; /* the owner's */
	struct stats *stats;
	uint64_t number;
	double created; /* CLOCK_MONOTONIC */
	char *name;	/* without quotes: "#5" or what the client chose */

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

void session_registry_init(struct session_registry *);
void session_registry_fini(struct session_registry *);

struct session_config {
	struct session_registry *registry;
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

/* Borrowed; NULL with the error if the uid has no session of that name. */
struct session *session_find(struct session_registry *, uid_t, struct slice,
    struct error *);
/*
 * Borrowed; the one that was created next after number *number, which becomes
 * its own.  NULL behind the last, and when *visits, from which it takes the
 * number of places that it looks at, is used up; *number is then that of the
 * last place.
 */
struct session *session_next_by_number(const struct session_registry *,
    uint64_t *number, size_t *visits);
/* Takes a name.  Returns 0, or -1 with the error and nothing changed. */
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
/* The same, for the member of that name. */
struct watcher *session_find_watcher_as(const struct session *,
    const char *member, const struct name *, struct error *);
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

/* Writes events while less than size bytes are in the buffer. */
void session_write_events(struct session *, struct buffer *, size_t size);

/* The session as a loop is reset: its fork watchers fire. */
void session_reset(struct session *);
/* Up to so many of them.  Returns true when all have. */
bool session_fire_resets(struct session *, size_t max);

/* The set of what belongs to the next batch. */
enum watcher_queue session_next_set(const struct session *);
/* How many watchers have an event that is ready. */
size_t session_n_ready(const struct session *);
/* Whether any event is ready to be written. */
bool session_has_ready(const struct session *);
/* The same, or will be as there is nothing else; and it is time for it. */
bool session_has_work(const struct session *);
/*
 * Whether all that was due at that time of the session's has fired.  A
 * suspended one's has.
 */
bool session_has_fired(const struct session *, double time);
/* The number of the batch that ends what is ready now. */
uint64_t session_last_batch(const struct session *);
/* Whether the batch of that number and all before it are written. */
bool session_batch_is_written(const struct session *, uint64_t);

/*
 * The input has ended, and nothing is left that could ever be written: as
 * ev_run() returns when no watcher is active.
 */
bool session_is_over(const struct session *);

#endif
