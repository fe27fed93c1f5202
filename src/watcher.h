#ifndef EVD_WATCHER_H
#define EVD_WATCHER_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "account.h"
#include "alarm.h"
#include "children.h"
#include "dirwatch.h"
#include "fdpoll.h"
#include "gather.h"
#include "listeners.h"
#include "message.h"
#include "param.h"
#include "peer.h"
#include "pidpoll.h"
#include "signals.h"
#include "socket.h"
#include "table.h"
#include "timeline.h"
#include "zones.h"

/*
 * What all watchers share, whatever their type.
 *
 * A watcher fires (watcher_fired()), and has an event pending from then on,
 * until the event is written or taken back.  If it fires again meanwhile the
 * two are one event with an overrun; the room for it is part of the watcher,
 * so that firing can't fail.  A type whose firings the clock can count stays
 * quiet while its event is pending, and catch_up() counts them when that is
 * asked for; rearm() sets it going again.
 *
 * Held (`hold`, and all types that are level-triggered): from when the event
 * was written until the client acknowledges it.  What fires meanwhile makes a
 * pending event that is not ready.
 *
 * A type that is about the session and not about the world waits in one of
 * the session's queues while it is active, not pending and not held; there
 * the session finds it, and fires it.
 */
struct watcher;

enum watcher_queue {
	QUEUE_NONE,
	QUEUE_READY_0, /* one of the session's two sets of ready ones */
	QUEUE_READY_1,
	QUEUE_IDLE,    /* waits until nothing is ready, */
	QUEUE_CHECK,   /* until a batch begins, */
	QUEUE_PREPARE, /* or until it ends */
	QUEUE_HELD,
};

/* What a type needs of the session that its watchers belong to. */
struct watcher_host {
	struct ev_loop *loop;
	struct timeline timeline; /* the clocks that it sees */
	struct alarm_group alarms;
	struct zones *zones;
	struct fdpoll *fdpoll; /* for clients' descriptors */
	struct pidpoll *pidpoll;
	struct children_set *children; /* that the session has spawned */
	struct signals *signals;
	struct signals_set *fed;   /* NULL: no watcher has needed it yet */
	struct dirwatch *dirwatch; /* for files by path */
	const struct socket_listener *listener; /* the daemon's */
	struct account *account;
	const struct peer *peer;
	/* An event is pending that was not: put the watcher in its place. */
	void (*queue)(struct watcher *);
	/* It waits for what its class says from now on; it is in no queue. */
	void (*wait)(struct watcher *);
	/* Take it out of where it is: ready, waiting or held. */
	void (*dequeue)(struct watcher *);
	struct listeners resets; /* of the session as a loop */
	size_t n_active;	 /* watchers */
	/*
	 * The iteration of the loop in which one was set going last: what it
	 * is for may be there already, and nobody has looked.
	 */
	uint64_t set_going;
};

struct watcher_class {
	struct slice name; /* on the wire */
	int revents;	   /* of a firing */
	size_t size;	   /* of the type's struct, which embeds the base */
	/*
	 * The members that `watch` and `set` take, and the size of the struct
	 * that they go into (at most WATCHER_ARGS_MAX).
	 */
	const struct param *params;
	size_t n_params;
	uint32_t live;	  /* those that `set` may change while it is active */
	enum right right; /* that it needs, whatever the members */
	/*
	 * A member, as PARAM_BIT(), that takes no more than RIGHT_ALL if it is
	 * true; 0: there is none.
	 */
	uint32_t harmless;
	bool level; /* "it is so now": always held, and not polled then */
	enum watcher_queue waits; /* in the session; QUEUE_NONE: it does not */
	enum gather_kind gather;  /* what its events are to an interval */

	/*
	 * Takes the members given.  fresh: the watcher is being registered
	 * and zeroed; else it is inactive, or only live members are given.
	 * Returns 0, or -1 with the error and nothing changed.  NULL: the
	 * type has no members.  So with start and stop.
	 */
	int (*set)(struct watcher *, const void *args, bool fresh,
	    struct error *);
	/*
	 * Takes a descriptor that was passed and is charged to the account;
	 * the watcher is inactive.  Returns 0, or -1 with the error and the
	 * descriptor still the caller's.  NULL: the type takes none.
	 */
	int (*give)(struct watcher *, int fd, struct error *);
	/*
	 * Whether give() will take this descriptor when set() has taken the
	 * members in args, as one refusal must leave both undone.  Returns 0,
	 * or -1 with the error.  NULL: it takes any.
	 */
	int (*accept)(const struct watcher *, const void *args, int fd,
	    struct error *);
	/* The time of its deadline has come: see WATCHER_OF_DEADLINE(). */
	void (*on_time)(struct watcher *);
	/* Active from before start, which may fire, and until after stop. */
	int (*start)(struct watcher *, struct error *);
	void (*stop)(struct watcher *);
	/* Active: members of the reply to the verb that has started it. */
	void (*put_started)(const struct watcher *, struct buffer *);
	/* The `reset` verb; nothing is pending.  NULL: there is none. */
	int (*reset)(struct watcher *, struct error *);
	/* The `send` verb; NULL: there is none. */
	void (*send)(struct watcher *);
	/*
	 * The `stat` verb: 0, with members of its reply, or -1 with the error.
	 * NULL: there is none.
	 */
	int (*stat)(struct watcher *, struct buffer *, struct error *);
	/*
	 * Active: fires if that is due by the clock, and if it is pending adds
	 * what the clock counts to overrun.
	 */
	void (*catch_up)(struct watcher *);
	/* Active: the event was written or taken back, or the hold is over. */
	void (*rearm)(struct watcher *);
	/*
	 * For types that keep the events of several things apart.  behind():
	 * the firings that are pending behind the event that is to be written
	 * next.  next(): that one was written; makes the one behind it take its
	 * place, and returns whether there is one.
	 */
	uint64_t (*behind)(const struct watcher *);
	bool (*next)(struct watcher *);
	/*
	 * The `spawn` and `kill` verbs: takes a child to be watched; the
	 * child, NULL if it has ended or was never one of evd's.
	 */
	void (*adopt)(struct watcher *, struct child *, bool trace);
	struct child *(*spawned)(const struct watcher *);
	/* Members of the event's line, and of the reply to `get`. */
	void (*put_event)(const struct watcher *, struct buffer *);
	void (*put_state)(const struct watcher *, struct buffer *);
	/* The `next` of `get`: so many times to come.  NULL: it has none. */
	void (*put_next)(const struct watcher *, struct buffer *, int n);
	/* The event was written or taken back: forget what it told. */
	void (*forget)(struct watcher *);
	/* Frees what the type's struct owns; the watcher is inactive. */
	void (*fini)(struct watcher *);
};

#define WATCHER_ARGS_MAX 96

struct watcher {
	struct table_node node; /* by name */
	const struct watcher_class *class;
	struct watcher_host *host;
	TAILQ_ENTRY(watcher) entry; /* in order of creation */
	TAILQ_ENTRY(watcher) queued;
	char *data;	  /* JSON text, or NULL; owned */
	double time;	  /* pending: of the first firing, since the Epoch */
	uint64_t overrun; /* pending: firings that were merged into it */
	/* Held: seq of the event.  Waiting: since the batch of this number. */
	uint64_t seq;
	int revents; /* pending */
	uint16_t name_len;
	int8_t priority : 3;
	uint8_t queue : 3; /* enum watcher_queue */
	bool active : 1;
	bool pending : 1;
	bool hold : 1;
	bool once : 1;
	bool release : 1;
	bool end : 1;
	bool spent : 1; /* its own event stopped it */
	bool mark : 1;	/* the type's own */
};

/*
 * What a type that has on_time() waits for by the host's timeline: right
 * behind the base.
 */
#define WATCHER_OF_DEADLINE(d) \
	((struct watcher *)((char *)(d) - sizeof(struct watcher)))
#define DEADLINE_OF_WATCHER(w) ((const struct deadline *)((w) + 1))

TAILQ_HEAD(watcher_list, watcher);

/* What was pending and was taken back. */
struct cleared {
	bool pending;
	int revents;
	uint64_t overrun;
};

/*
 * A new watcher, zeroed but for class, host and name; inactive, and in no
 * table or list.  watcher_free() stops it and frees all that it owns; whoever
 * put it into a table or list takes it out before.
 */
struct watcher *watcher_new(const struct watcher_class *, struct watcher_host *,
    const struct name *);
void watcher_free(struct watcher *);

/* JSON text, inside the watcher. */
struct slice watcher_name(const struct watcher *);
struct slice watcher_data(const struct watcher *);
/* Copies the JSON text. */
void watcher_set_data(struct watcher *, struct slice);

static inline bool
watcher_is_held(const struct watcher *w)
{
	return w->queue == QUEUE_HELD;
}

static inline bool
watcher_is_waiting(const struct watcher *w)
{
	return w->queue != QUEUE_NONE && w->queue == w->class->waits;
}

/*
 * For types.  The watcher fires: its event becomes pending, or merges.  A
 * type that stops by firing calls watcher_halt() before.
 */
void watcher_fired(struct watcher *);
void watcher_fired_as(struct watcher *, int revents);
void watcher_halt(struct watcher *);

/*
 * The `fds` of watch, start and set: *fd, if it is not -1, goes to the type.
 * Before the members of one command are set, watcher_accept() says whether it
 * will, and after that watcher_give() does not fail.
 */
int watcher_accept(const struct watcher *, const void *args, int fd,
    struct error *);
int watcher_give(struct watcher *, int *fd, struct error *);

/* Inactive from now on; what is pending or held stays so. */
void watcher_deactivate(struct watcher *);

/* Makes an event pending, or merges, and nothing else. */
void watcher_feed(struct watcher *, int revents);

/*
 * The verbs of a watcher's life.  Each takes a pending event back and says so
 * in cleared; but start of an active watcher does nothing, and set of an
 * active one only changes what it may.  set of an inactive one and stop end a
 * hold as well, and so do clear and reset where there was something to take
 * back.  Each returns 0, or -1 with the error.
 */
int watcher_set(struct watcher *, const void *args, struct cleared *,
    struct error *);
int watcher_start(struct watcher *, struct cleared *, struct error *);
void watcher_stop(struct watcher *, struct cleared *);
int watcher_reset(struct watcher *, struct cleared *, struct error *);
void watcher_clear(struct watcher *, struct cleared *);

/* What an event that was taken back now would say of merged firings. */
uint64_t watcher_overrun(const struct watcher *);

/* Adds to overrun what the clock counts; before an event is written. */
void watcher_catch_up(struct watcher *);

/* The event's line was written, or its hold has ended: it goes on. */
void watcher_written(struct watcher *);
void watcher_unheld(struct watcher *);

#endif
