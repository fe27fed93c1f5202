#include "config.h"

#include "session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "watchers/classes.h"

#define SESSION_OF_TIMELINE(t)                                   \
	((struct session *)((char *)(t)-offsetof(struct session, \
	    host.timeline)))
#define SESSION_OF_ENTRY(e) \
	((struct session *)((char *)(e)-offsetof(struct session, id)))

/* --- pending, ready, held ------------------------------------------------ */

static struct session *
session_of(const struct watcher *w)
{
	return (struct session *)w->host;
}

static void
session_enqueue(struct session *s, struct watcher *w, enum watcher_queue queue)
{
	s->census.still = false;
	w->queue = queue;
	TAILQ_INSERT_TAIL(session_queue_of(s, w), w, queued);
	s->sets[queue].n++;
}

static void
session_note_work(struct session *s)
{
	if (!s->writing)
		s->on_work(s);
}

/* There is a deadline while the next batch waits for nothing else. */
void
session_gather(struct session *s)
{
	struct timeline *t = &s->host.timeline;
	double due = gather_due(&s->gather);

	if (isinf(due) || due <= timeline_time(t))
		timeline_unset(t, &s->gather.deadline);
	else
		timeline_set(t, &s->gather.deadline, due);
}

/* Its event is ready: into the set that is not being written. */
static void
session_make_ready(struct session *s, struct watcher *w)
{
	session_enqueue(s, w, session_next_set(s));
	if (gather_add(&s->gather, w->class->gather,
		timeline_time(&s->host.timeline)))
		session_gather(s);
	session_note_work(s);
}

void
session_dequeue(struct watcher *w)
{
	struct session *s = session_of(w);

	if (w->queue == QUEUE_NONE)
		return;
	s->census.still = false;
	if (watcher_is_held(w)) {
		TAILQ_REMOVE(&s->held, w, queued);
		s->n_held--;
	} else {
		TAILQ_REMOVE(session_queue_of(s, w), w, queued);
		s->sets[w->queue].n--;
		if (w->queue == session_next_set(s) &&
		    gather_remove(&s->gather, w->class->gather))
			session_gather(s);
	}
	w->queue = QUEUE_NONE;
}

static void
session_on_queue(struct watcher *w)
{
	struct session *s = session_of(w);

	if (watcher_is_held(w) || s->ended)
		return;
	session_dequeue(w);
	session_make_ready(s, w);
}

static void
session_on_wait(struct watcher *w)
{
	struct session *s = session_of(w);

	w->seq = s->batches;
	session_enqueue(s, w, w->class->waits);
	if (w->queue == QUEUE_IDLE)
		session_note_work(s);
}

static void
session_free_hold(struct session *s, struct watcher *w)
{
	session_dequeue(w);
	if (w->pending)
		session_make_ready(s, w);
	else
		watcher_unheld(w);
}

size_t
session_ack(struct session *s, uint64_t seq, size_t max)
{
	struct watcher *w;
	size_t n = 0;

	while (n < max && (w = TAILQ_FIRST(&s->held)) != NULL &&
	    w->seq <= seq) {
		session_free_hold(s, w);
		n++;
	}
	return n;
}

bool
session_ack_watcher(struct session *s, struct watcher *w)
{
	if (!watcher_is_held(w))
		return false;
	session_free_hold(s, w);
	return true;
}

/* A watcher's, or the session's own. */
static void
session_on_time(struct timeline *timeline, struct deadline *deadline)
{
	struct session *s = SESSION_OF_TIMELINE(timeline);
	struct watcher *w = WATCHER_OF_DEADLINE(deadline);

	if (deadline == &s->gather.deadline)
		session_note_work(s);
	else
		w->class->on_time(w);
}

/* --- life --------------------------------------------------------------- */

struct session *
session_new(const struct session_config *config)
{
	struct session *s = memory_zalloc(sizeof(*s));

	account_init(&s->account, config->limits, config->peer->uid);
	s->host.loop = config->loop;
	timeline_init(&s->host.timeline, config->timelines);
	s->host.timeline.on_time = session_on_time;
	alarm_group_init(&s->host.alarms, config->alarms, &s->host.timeline);
	s->host.zones = config->zones;
	s->host.fdpoll = config->fdpoll;
	s->host.pidpoll = config->pidpoll;
	s->host.signals = config->signals;
	s->host.children = &s->children;
	s->host.dirwatch = config->dirwatch;
	s->host.listener = config->listener;
	s->host.account = &s->account;
	s->host.peer = &s->peer;
	s->peer = *config->peer;
	s->stats = config->stats;
	s->created = timeline_monotonic(&s->host.timeline);
	children_set_init(&s->children, config->children, &s->account);
	s->host.queue = session_on_queue;
	s->host.wait = session_on_wait;
	s->host.dequeue = session_dequeue;
	listeners_init(&s->host.resets);
	s->registry = config->registry;
	s->on_work = config->on_work;
	s->owner = config->owner;
	table_init(&s->names);
	TAILQ_INIT(&s->watchers);
	TAILQ_INIT(&s->held);
	s->batch = QUEUE_READY_0;
	for (int set = 0; set < QUEUE_HELD; set++)
		for (int i = 0; i < PRIORITIES; i++)
			TAILQ_INIT(&s->sets[set].queues[i]);
	registry_add(s->registry, &s->id, &s->account);
	return s;
}

void
session_end(struct session *s)
{
	s->ended = true;
	timeline_end(&s->host.timeline);
	registry_remove(s->registry, &s->id);
}

static void
session_free_watcher(struct session *s, struct watcher *w)
{
	size_t bytes = w->name_len + watcher_data(w).len;

	account_discharge(&s->account, LIMIT_BYTES, bytes);
	account_discharge(&s->account, LIMIT_WATCHERS, 1);
	/* The whole table goes at once when the session has ended. */
	if (!s->ended)
		table_remove(&s->names, &w->node);
	if (s->census.next == w)
		s->census.next = TAILQ_NEXT(w, entry);
	s->census.still = false;
	TAILQ_REMOVE(&s->watchers, w, entry);
	watcher_free(w);
}

bool
session_free_some(struct session *s, size_t *budget)
{
	struct watcher *w;

	if (!children_set_end(&s->children, budget))
		return false;
	/*
	 * The last first: the C library then gives memory back bit by bit, and
	 * not all in the one free() that joins it (10 ms for a million).
	 */
	while ((w = TAILQ_LAST(&s->watchers, watcher_list)) != NULL) {
		if (*budget == 0)
			return false;
		(*budget)--;
		session_free_watcher(s, w);
	}
	table_fini(&s->names);
	free(s->host.fed);
	alarm_group_fini(&s->host.alarms);
	account_fini(&s->account);
	free(s->id.name);
	free(s);
	return true;
}

struct session *
session_find(const struct registry *registry, uid_t uid, struct slice name,
    struct error *error)
{
	struct registry_entry *entry = registry_find(registry, uid, name,
	    error);

	return entry == NULL ? NULL : SESSION_OF_ENTRY(entry);
}

struct session *
session_next_by_number(const struct registry *registry, uint64_t *number,
    size_t *visits)
{
	struct registry_entry *entry = registry_next(registry, number, visits);

	return entry == NULL ? NULL : SESSION_OF_ENTRY(entry);
}

int
session_rename(struct session *s, struct slice name, struct error *error)
{
	return registry_rename(s->registry, &s->id, name, error);
}

/* --- watchers ----------------------------------------------------------- */

static bool
session_match_watcher(const struct table_node *node, const void *key)
{
	return slice_equal(watcher_name((const struct watcher *)node),
	    ((const struct name *)key)->json);
}

static struct watcher *
session_lookup_watcher(const struct session *s, const struct name *name,
    uint32_t *hash)
{
	*hash = registry_hash_watcher(s->registry, name->json);
	return (struct watcher *)table_find(&s->names, *hash,
	    session_match_watcher, name);
}

void
session_expect_watcher(const struct session *s, struct slice json)
{
	registry_expect_watcher(s->registry, json);
	table_prefetch(&s->names, registry_hash_watcher(s->registry, json));
}

struct watcher *
session_find_watcher(const struct session *s, const struct name *name,
    struct error *error)
{
	return session_find_watcher_for(s, s, "watcher", name, error);
}

struct watcher *
session_find_watcher_for(const struct session *s, const struct session *asks,
    const char *member, const struct name *name, struct error *error)
{
	uint32_t hash;
	struct watcher *w = session_lookup_watcher(s, name, &hash);
	char found[EXCERPT_SIZE];

	if (w == NULL)
		error_set(error, ERROR_NO_SUCH_WATCHER,
		    "member \"%s\" is %s, expected the name of a watcher of "
		    "%s session",
		    member, message_excerpt(found, name->json),
		    s == asks ? "this" : "that");
	return w;
}

static int
session_charge_watcher(struct session *s, size_t bytes, struct error *error)
{
	if (account_charge(&s->account, LIMIT_WATCHERS, 1, error) < 0)
		return -1;
	if (account_charge(&s->account, LIMIT_BYTES, bytes, error) < 0) {
		account_discharge(&s->account, LIMIT_WATCHERS, 1);
		return -1;
	}
	return 0;
}

struct watcher *
session_watch(struct session *s, const struct watcher_class *class,
    const struct name *name, const struct watch_options *options,
    const void *args, struct error *error)
{
	size_t bytes = name->json.len + options->data.len;
	char found[EXCERPT_SIZE];
	struct cleared none;
	struct watcher *w;
	uint32_t hash;

	if (session_lookup_watcher(s, name, &hash) != NULL) {
		error_set(error, ERROR_WATCHER_EXISTS,
		    "member \"watcher\" is %s, which another watcher of this "
		    "session has; expected a free name",
		    message_excerpt(found, name->json));
		return NULL;
	}
	if (session_charge_watcher(s, bytes, error) < 0)
		return NULL;
	w = watcher_new(class, &s->host, name);
	w->priority = options->priority;
	w->hold = class->level || options->hold;
	w->once = options->once;
	w->release = options->release;
	w->end = options->end;
	if (options->data.len > 0)
		watcher_set_data(w, options->data);
	table_insert(&s->names, &w->node, hash);
	TAILQ_INSERT_TAIL(&s->watchers, w, entry);
	if ((class->set != NULL && class->set(w, args, true, error) < 0) ||
	    watcher_give(w, options->fd, error) < 0 ||
	    (options->start && watcher_start(w, &none, error) < 0)) {
		session_free_watcher(s, w);
		return NULL;
	}
	return w;
}

void
session_unwatch(struct session *s, struct watcher *w, struct cleared *cleared)
{
	watcher_stop(w, cleared);
	session_free_watcher(s, w);
}

int
session_charge_data(struct session *s, size_t from, size_t to,
    struct error *error)
{
	if (to > from)
		return account_charge(&s->account, LIMIT_BYTES, to - from,
		    error);
	account_discharge(&s->account, LIMIT_BYTES, from - to);
	return 0;
}

/* --- the end of the input ------------------------------------------------ */

void
session_end_input(struct session *s)
{
	s->input_ended = true;
}

void
session_forget_spent(struct session *s, struct watcher *w)
{
	if (w->spent && !w->active && !w->pending)
		session_free_watcher(s, w);
}

bool
session_drop_holds(struct session *s, size_t max)
{
	struct watcher *w;

	while (max-- > 0 && (w = TAILQ_FIRST(&s->held)) != NULL) {
		if (w->class->level && w->active)
			watcher_halt(w);
		session_free_hold(s, w);
		if (w->release)
			session_forget_spent(s, w);
	}
	return TAILQ_EMPTY(&s->held);
}

/* --- as a loop ------------------------------------------------------------ */

void
session_reset(struct session *s)
{
	listeners_call(&s->host.resets, 1);
}

bool
session_fire_resets(struct session *s, size_t max)
{
	listeners_tell(&s->host.resets, max);
	return listeners_are_told(&s->host.resets);
}

size_t
session_n_ready(const struct session *s)
{
	return s->sets[QUEUE_READY_0].n + s->sets[QUEUE_READY_1].n;
}

bool
session_has_fired(const struct session *s, double time)
{
	return timeline_has_expired(&s->host.timeline, time) &&
	    alarm_group_is_settled(&s->host.alarms);
}
