#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fdqueue.h"
#include "feature.h"
#include "memory.h"
#include "process.h"
#include "put.h"
#include "watcher.h"

/*
 * The end of a process, as libev's ev_child, but of any process: by pid, by a
 * passed pidfd, or one that evd has started (which tells most); and with pid
 * 0 of all that the session has started.
 *
 * A watcher of pid 0 has room for an event of each of these, so that none is
 * merged with another's.
 */
enum child_source { SOURCE_PASSED, SOURCE_PID, SOURCE_ANY, SOURCE_SPAWNED };

struct watched {
	struct watcher base;
	enum child_source source;
	bool until_reaped;
	bool trace;
	pid_t pid;	 /* SOURCE_ANY: 0 */
	int pidfd;	 /* owned, and charged; -1: none now */
	uint64_t number; /* SOURCE_SPAWNED: of the child */
	struct pidpoll_item item;
	struct child_observer observer;
	struct child_change last;

	/* SOURCE_ANY */
	struct children_watch any;
	TAILQ_HEAD(, room) queue; /* with an event, in order of firing */
	LIST_HEAD(, room) rooms;  /* all */
	uint64_t behind;	  /* firings in all of queue but the first */
};

/* For the events of one child, in a watcher of pid 0. */
struct room {
	struct child_observer observer; /* first */
	struct watched *watched;
	LIST_ENTRY(room) entry;
	TAILQ_ENTRY(room) queued;
	bool pending;
	pid_t pid;
	double time; /* of the first firing */
	uint64_t overrun;
	struct child_change last;
};
_Static_assert(sizeof(struct room) <= CHILD_ROOM_SIZE, "what was charged");

enum { CHILD_PID, CHILD_REAPED, CHILD_TRACE };

struct child_args {
	uint32_t given;
	int64_t pid;
	bool reaped, trace;
};

static const struct param child_params[] = {
	[CHILD_PID] = PARAM("pid", PARAM_INTEGER, struct child_args, pid,
	    .right = RIGHT_FULL, .min = 0, .max = INT32_MAX),
	[CHILD_REAPED] = PARAM("reaped", PARAM_BOOL, struct child_args, reaped),
	[CHILD_TRACE] = PARAM("trace", PARAM_BOOL, struct child_args, trace),
};

/* --- one process ---------------------------------------------------------- */

static void
watched_close(struct watched *c)
{
	fdqueue_close(c->base.host->account, c->pidfd);
	c->pidfd = -1;
}

/* It has ended: the last firing. */
static void
watched_end(struct watched *c, const struct child_change *change)
{
	c->last = *change;
	watcher_halt(&c->base);
	watcher_fired(&c->base);
}

static void
watched_on_done(struct pidpoll_item *item)
{
	struct watched *c = (struct watched *)((char *)item -
	    offsetof(struct watched, item));
	struct child_change change = { .ended = true };

	if (c->until_reaped && feature_enabled(FEATURE_PIDFD_INFO))
		change.known = process_status(c->pidfd, &change.status) == 0;
	watched_end(c, &change);
}

static void
watched_on_change(struct child_observer *observer,
    const struct child_change *change)
{
	struct watched *c = (struct watched *)((char *)observer -
	    offsetof(struct watched, observer));

	if (change->ended) {
		watched_end(c, change);
	} else if (c->trace) {
		c->last = *change;
		watcher_fired(&c->base);
	}
}

static int
watched_open(struct watched *c, struct error *error)
{
	struct account *account = c->base.host->account;

	if (c->pidfd >= 0)
		return 0;
	if (c->source != SOURCE_PID)
		return error_set(error, ERROR_INVALID_ARGUMENT,
		    "members \"pid\" and \"fds\" are missing, expected one of "
		    "them: the watcher has no process (any more)");
	if (account_charge(account, LIMIT_DESCRIPTORS, 1, error) < 0)
		return -1;
	c->pidfd = process_open(c->pid);
	if (c->pidfd >= 0 && account_check_fd(account, c->pidfd, error) == 0)
		return 0;
	if (c->pidfd >= 0) {
		watched_close(c);
		return -1;
	}
	account_discharge(account, LIMIT_DESCRIPTORS, 1);
	error_set_system(error, -c->pidfd,
	    "member \"pid\" is %d, which can't be watched", (int)c->pid);
	c->pidfd = -1;
	return -1;
}

/* One that evd has started, and not reaped. */
static struct child *
watched_find(const struct watched *c)
{
	struct child *child = NULL;

	if (c->pid > 0)
		child = children_find(c->base.host->children->all, c->pid);
	if (child != NULL && c->source == SOURCE_SPAWNED &&
	    child->number != c->number)
		return NULL;
	return child;
}

static int
watched_start_one(struct watched *c, struct error *error)
{
	struct child *child = watched_find(c);
	int err;

	if (child != NULL) {
		child_observe(child, &c->observer);
		return 0;
	}
	if (c->trace)
		return error_set(error, ERROR_INVALID_ARGUMENT,
		    "member \"trace\" is true, expected it only for processes "
		    "that evd has spawned");
	if (watched_open(c, error) < 0)
		return -1;
	err = pidpoll_add(c->base.host->pidpoll, &c->item, c->pidfd,
	    c->until_reaped ? UNTIL_REAPED : UNTIL_ENDED);
	if (err == 0)
		return 0;
	watched_close(c);
	return error_set_system(error, -err, "the process can't be watched");
}

/* --- all that were spawned ------------------------------------------------ */

static void
room_free(struct room *room)
{
	child_unobserve(&room->observer);
	LIST_REMOVE(room, entry);
	account_discharge(room->watched->base.host->account, LIMIT_BYTES,
	    CHILD_ROOM_SIZE);
	free(room);
}

/* There can be no other firing in it. */
static bool
room_is_over(const struct room *room)
{
	return room->observer.child == NULL;
}

/* Takes the first event out. */
static void
any_shift(struct watched *c)
{
	struct room *room = TAILQ_FIRST(&c->queue);

	if (room == NULL)
		return;
	TAILQ_REMOVE(&c->queue, room, queued);
	room->pending = false;
	room->overrun = 0;
	if (room_is_over(room))
		room_free(room);
	room = TAILQ_FIRST(&c->queue);
	if (room != NULL)
		c->behind -= 1 + room->overrun;
}

static void
any_fire(struct watched *c, struct room *room)
{
	bool first = TAILQ_EMPTY(&c->queue) || TAILQ_FIRST(&c->queue) == room;

	if (room->pending) {
		room->overrun++;
	} else {
		room->pending = true;
		room->time = timeline_now(&c->base.host->timeline);
		TAILQ_INSERT_TAIL(&c->queue, room, queued);
	}
	if (first)
		watcher_fired(&c->base);
	else
		c->behind++;
}

static void
room_on_change(struct child_observer *observer,
    const struct child_change *change)
{
	struct room *room = (struct room *)observer;

	if (!change->ended && !room->watched->trace)
		return;
	room->last = *change;
	any_fire(room->watched, room);
}

static void
any_add_room(struct watched *c, struct child *child)
{
	struct room *room = memory_zalloc(sizeof(*room));

	room->watched = c;
	room->pid = child->pid;
	room->observer.on_change = room_on_change;
	LIST_INSERT_HEAD(&c->rooms, room, entry);
	child_observe(child, &room->observer);
}

static void
any_on_spawn(struct children_watch *any, struct child *child)
{
	any_add_room(
	    (struct watched *)((char *)any - offsetof(struct watched, any)),
	    child);
}

static int
any_start(struct watched *c, struct error *error)
{
	struct children_set *set = c->base.host->children;
	struct child *child;

	if (account_charge(set->account, LIMIT_BYTES, set->n * CHILD_ROOM_SIZE,
		error) < 0)
		return -1;
	TAILQ_FOREACH(child, &set->list, set_entry)
		any_add_room(c, child);
	children_set_watch(set, &c->any);
	return 0;
}

/* What is pending stays. */
static void
any_stop(struct watched *c)
{
	struct room *room, *next;

	children_set_unwatch(c->base.host->children, &c->any);
	for (room = LIST_FIRST(&c->rooms); room != NULL; room = next) {
		next = LIST_NEXT(room, entry);
		if (room->pending)
			child_unobserve(&room->observer);
		else
			room_free(room);
	}
}

static bool
child_next(struct watcher *w)
{
	struct watched *c = (struct watched *)w;
	const struct room *room;

	any_shift(c);
	room = TAILQ_FIRST(&c->queue);
	if (room == NULL)
		return false;
	w->revents = EV_CHILD;
	w->time = room->time;
	w->overrun = room->overrun;
	return true;
}

static uint64_t
child_behind(const struct watcher *w)
{
	return ((const struct watched *)w)->behind;
}

static void
child_forget(struct watcher *w)
{
	struct watched *c = (struct watched *)w;

	while (!TAILQ_EMPTY(&c->queue))
		any_shift(c);
}

/* --- the type ------------------------------------------------------------- */

static int
child_start(struct watcher *w, struct error *error)
{
	struct watched *c = (struct watched *)w;
	int err = c->source == SOURCE_ANY ? any_start(c, error) :
					    watched_start_one(c, error);

	if (err == 0)
		c->last = (struct child_change){ 0 };
	return err;
}

static void
child_stop(struct watcher *w)
{
	struct watched *c = (struct watched *)w;

	if (c->source == SOURCE_ANY) {
		any_stop(c);
		return;
	}
	child_unobserve(&c->observer);
	pidpoll_del(&c->item);
	watched_close(c);
}

/* Whether it takes a descriptor, and of which process that is. */
static int
watched_check_passed(const struct watched *c, bool by_pid, int fd, pid_t *pid,
    struct error *error)
{
	if (by_pid || c->source != SOURCE_PASSED)
		return error_set(error, ERROR_INVALID_ARGUMENT,
		    "member \"fds\" is 1, expected 0 beside \"pid\"");
	if (!process_is_pidfd(fd, pid))
		return error_set(error, ERROR_INVALID_ARGUMENT,
		    "the descriptor is no pidfd, expected one (of "
		    "pidfd_open(2))");
	return 0;
}

static int
child_accept(const struct watcher *w, const void *values, int fd,
    struct error *error)
{
	const struct child_args *args = values;
	pid_t pid;

	return watched_check_passed((const struct watched *)w,
	    args->given & PARAM_BIT(CHILD_PID), fd, &pid, error);
}

static int
child_give(struct watcher *w, int fd, struct error *error)
{
	struct watched *c = (struct watched *)w;
	pid_t pid = 0;

	if (watched_check_passed(c, false, fd, &pid, error) < 0)
		return -1;
	watched_close(c);
	c->pidfd = fd;
	c->pid = pid > 0 ? pid : 0;
	return 0;
}

static int
child_set(struct watcher *w, const void *values, bool fresh,
    struct error *error)
{
	struct watched *c = (struct watched *)w;
	const struct child_args *args = values;

	(void)error;
	if (fresh) {
		c->pidfd = c->item.item.fd = -1;
		c->item.on_done = watched_on_done;
		c->observer.on_change = watched_on_change;
		c->any.on_spawn = any_on_spawn;
		TAILQ_INIT(&c->queue);
		LIST_INIT(&c->rooms);
	}
	if (args->given & PARAM_BIT(CHILD_PID)) {
		watched_close(c);
		c->pid = (pid_t)args->pid;
		c->source = c->pid == 0 ? SOURCE_ANY : SOURCE_PID;
	}
	if (args->given & PARAM_BIT(CHILD_REAPED))
		c->until_reaped = args->reaped;
	if (args->given & PARAM_BIT(CHILD_TRACE))
		c->trace = args->trace;
	return 0;
}

static void
child_adopt(struct watcher *w, struct child *child, bool trace)
{
	struct watched *c = (struct watched *)w;

	c->source = SOURCE_SPAWNED;
	c->pid = child->pid;
	c->number = child->number;
	c->trace = trace;
}

static struct child *
child_spawned(const struct watcher *w)
{
	const struct watched *c = (const struct watched *)w;

	return c->source == SOURCE_SPAWNED ? watched_find(c) : NULL;
}

static void
put_change(struct buffer *b, pid_t pid, const struct child_change *change)
{
	int status = change->status;

	put_key(b, "pid");
	put_i64(b, pid);
	put_key(b, "status");
	if (!change->known) {
		buffer_puts(b, "null");
		return;
	}
	put_i64(b, status);
	if (WIFEXITED(status)) {
		put_key(b, "exit");
		put_i64(b, WEXITSTATUS(status));
	} else if (WIFSIGNALED(status)) {
		put_key(b, "signal");
		put_i64(b, WTERMSIG(status));
	} else if (WIFCONTINUED(status)) {
		buffer_puts(b, ",\"continued\":true");
	} else {
		put_key(b, "stopped");
		put_i64(b, WSTOPSIG(status));
	}
}

static void
child_put_event(const struct watcher *w, struct buffer *b)
{
	const struct watched *c = (const struct watched *)w;
	const struct room *room = TAILQ_FIRST(&c->queue);

	if (room != NULL)
		put_change(b, room->pid, &room->last);
	else
		put_change(b, c->pid, &c->last);
}

static void
child_put_state(const struct watcher *w, struct buffer *b)
{
	const struct watched *c = (const struct watched *)w;

	put_key(b, "pid");
	put_i64(b, c->pid);
	if (c->until_reaped)
		buffer_puts(b, ",\"reaped\":true");
	if (c->trace)
		buffer_puts(b, ",\"trace\":true");
}

static void
child_fini(struct watcher *w)
{
	struct watched *c = (struct watched *)w;

	child_forget(w);
	watched_close(c);
}

const struct watcher_class child_class = {
	.name = { "child", 5 },
	.revents = EV_CHILD,
	.size = sizeof(struct watched),
	.params = child_params,
	.n_params = sizeof(child_params) / sizeof(child_params[0]),
	.set = child_set,
	.give = child_give,
	.accept = child_accept,
	.start = child_start,
	.stop = child_stop,
	.behind = child_behind,
	.next = child_next,
	.adopt = child_adopt,
	.spawned = child_spawned,
	.put_event = child_put_event,
	.put_state = child_put_state,
	.forget = child_forget,
	.fini = child_fini,
};
