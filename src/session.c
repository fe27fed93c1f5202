#include "config.h"

#include "session.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "memory.h"
#include "watchers/classes.h"

/* --- the registry ------------------------------------------------------- */

struct session_key {
	uid_t uid;
	struct slice name;
};

#define SESSION_OF_TIMELINE(t)                                   \
	((struct session *)((char *)(t)-offsetof(struct session, \
	    host.timeline)))
#define SESSION_OF_NODE(n) \
	((struct session *)((char *)(n)-offsetof(struct session, node)))

void
session_registry_init(struct session_registry *registry)
{
	*registry = (struct session_registry){ 0 };
	table_init(&registry->table);
	hash_key_init(&registry->key);
}

void
session_registry_fini(struct session_registry *registry)
{
	table_fini(&registry->table);
	free(registry->slots);
}

static bool
session_match(const struct table_node *node, const void *key)
{
	const struct session *s = SESSION_OF_NODE(node);
	const struct session_key *k = key;

	return account_uid(&s->account) == k->uid && slice_is(k->name, s->name);
}

static uint32_t
session_hash(const struct session_registry *registry,
    const struct session_key *key)
{
	return hash_bytes(&registry->key, key->name.p, key->name.len) ^
	    key->uid;
}

static struct session *
session_lookup(struct session_registry *registry, const struct session_key *key)
{
	struct table_node *node = table_find(&registry->table,
	    session_hash(registry, key), session_match, key);

	return node == NULL ? NULL : SESSION_OF_NODE(node);
}

struct session *
session_find(struct session_registry *registry, uid_t uid, struct slice name,
    struct error *error)
{
	struct session_key key = { uid, name };
	struct session *s = session_lookup(registry, &key);
	char found[EXCERPT_SIZE];

	if (s == NULL)
		error_set(error, ERROR_NO_SUCH_SESSION,
		    "member \"session\" is \"%s\", expected the name of a "
		    "session of uid %ju",
		    message_excerpt(found, name), (uintmax_t)uid);
	return s;
}

static void
session_register(struct session *s)
{
	struct session_key key = { account_uid(&s->account),
		{ s->name, strlen(s->name) } };

	table_insert(&s->registry->table, &s->node,
	    session_hash(s->registry, &key));
}

/* --- by number ------------------------------------------------------------ */

/* The first place of a number above the one given. */
static size_t
registry_find_slot(const struct session_registry *registry, uint64_t number)
{
	size_t low = 0, high = registry->n_slots;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (registry->slots[middle].number <= number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Numbers only grow, so the list stays in order. */
static void
registry_add_slot(struct session_registry *registry, struct session *s)
{
	if (registry->n_slots == registry->size) {
		registry->size = registry->size == 0 ? 64 : 2 * registry->size;
		registry->slots = memory_realloc(registry->slots,
		    registry->size * sizeof(*registry->slots));
	}
	registry->slots[registry->n_slots++] = (struct session_slot){ s->number,
		s };
}

/* Places are given up when most of them are empty. */
static void
registry_remove_slot(struct session_registry *registry, struct session *s)
{
	size_t n = 0;

	registry->slots[registry_find_slot(registry, s->number - 1)]
	    .session = NULL;
	if (registry->n_slots < 2 * registry->table.count + 64)
		return;
	for (size_t i = 0; i < registry->n_slots; i++)
		if (registry->slots[i].session != NULL)
			registry->slots[n++] = registry->slots[i];
	registry->n_slots = n;
}

struct session *
session_next_by_number(const struct session_registry *registry,
    uint64_t *number, size_t *visits)
{
	for (size_t i = registry_find_slot(registry, *number);
	     i<registry->n_slots && * visits> 0; i++, (*visits)--) {
		*number = registry->slots[i].number;
		if (registry->slots[i].session != NULL)
			return registry->slots[i].session;
	}
	return NULL;
}

int
session_rename(struct session *s, struct slice name, struct error *error)
{
	struct session_key key = { account_uid(&s->account), name };
	char found[EXCERPT_SIZE];

	if (s->name[0] != '#')
		return error_set(error, ERROR_SESSION_EXISTS,
		    "member \"session\" is \"%s\", but this session is named "
		    "\"%.64s\" already; expected one name a session",
		    message_excerpt(found, name), s->name);
	if (session_lookup(s->registry, &key) != NULL)
		return error_set(error, ERROR_SESSION_EXISTS,
		    "member \"session\" is \"%s\", which another session of "
		    "uid %ju has; expected a free name",
		    message_excerpt(found, name), (uintmax_t)key.uid);
	if (account_charge(&s->account, LIMIT_BYTES, name.len, error) < 0)
		return -1;
	table_remove(&s->registry->table, &s->node);
	free(s->name);
	s->name = memory_copy(name.p, name.len);
	session_register(s);
	return 0;
}

/* --- pending, ready, held ------------------------------------------------ */

static struct session *
session_of(const struct watcher *w)
{
	return (struct session *)w->host;
}

static struct watcher_list *
session_queue_of(struct session *s, const struct watcher *w)
{
	return &s->sets[w->queue].queues[PRIORITY_MAX - w->priority];
}

enum watcher_queue
session_next_set(const struct session *s)
{
	return QUEUE_READY_0 + QUEUE_READY_1 - s->batch;
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

static void
session_on_dequeue(struct watcher *w)
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
	session_on_dequeue(w);
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
	session_on_dequeue(w);
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
	char name[24];

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
	s->host.dequeue = session_on_dequeue;
	listeners_init(&s->host.resets);
	s->registry = config->registry;
	s->on_work = config->on_work;
	s->owner = config->owner;
	s->number = ++config->registry->last;
	table_init(&s->names);
	TAILQ_INIT(&s->watchers);
	TAILQ_INIT(&s->held);
	s->batch = QUEUE_READY_0;
	for (int set = 0; set < QUEUE_HELD; set++)
		for (int i = 0; i < PRIORITIES; i++)
			TAILQ_INIT(&s->sets[set].queues[i]);
	snprintf(name, sizeof(name), "#%" PRIu64, s->number);
	s->name = memory_strdup(name);
	session_register(s);
	registry_add_slot(s->registry, s);
	return s;
}

void
session_end(struct session *s)
{
	s->ended = true;
	timeline_end(&s->host.timeline);
	table_remove(&s->registry->table, &s->node);
	registry_remove_slot(s->registry, s);
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
	free(s->name);
	free(s);
	return true;
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
	*hash = hash_bytes(&s->registry->key, name->json.p, name->json.len);
	return (struct watcher *)table_find(&s->names, *hash,
	    session_match_watcher, name);
}

void
session_expect_watcher(const struct session *s, struct slice json)
{
	table_prefetch(&s->names,
	    hash_bytes(&s->registry->key, json.p, json.len));
}

struct watcher *
session_find_watcher(const struct session *s, const struct name *name,
    struct error *error)
{
	return session_find_watcher_as(s, "watcher", name, error);
}

struct watcher *
session_find_watcher_as(const struct session *s, const char *member,
    const struct name *name, struct error *error)
{
	uint32_t hash;
	struct watcher *w = session_lookup_watcher(s, name, &hash);
	char found[EXCERPT_SIZE];

	if (w == NULL)
		error_set(error, ERROR_NO_SUCH_WATCHER,
		    "member \"%s\" is %s, expected the name of a watcher of "
		    "this session",
		    member, message_excerpt(found, name->json));
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

static void
session_forget_spent(struct session *s, struct watcher *w)
{
	if (w->release && w->spent && !w->active && !w->pending)
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
		session_forget_spent(s, w);
	}
	return TAILQ_EMPTY(&s->held);
}

/* --- writing ------------------------------------------------------------ */

static void
session_write_event(struct session *s, struct watcher *w, struct buffer *b)
{
	const struct watcher_class *class = w->class;
	struct event event;
	bool more;

	watcher_catch_up(w);
	/* It would say the same again at once, and none could acknowledge. */
	if (s->input_ended && class->level && w->active)
		watcher_halt(w);
	event = (struct event){
		.type = class->name,
		.watcher = watcher_name(w),
		.revents = w->revents,
		.seq = ++s->seq,
		.time = w->time,
		.active = w->active,
		.overrun = w->overrun,
		.data = watcher_data(w),
	};
	event_begin(b, &event);
	if (class->put_event != NULL)
		class->put_event(w, b);
	event_end(b, &event);

	s->stats->events[watcher_class_index(class)]++;
	s->stats->merged += event.overrun;
	s->batch_ends |= w->end;
	more = class->next != NULL && class->next(w);
	/* What is behind it belongs to the same batch. */
	if (more && !(w->hold && !s->input_ended))
		return;
	session_on_dequeue(w);
	if (w->hold && !s->input_ended) {
		w->seq = s->seq;
		w->queue = QUEUE_HELD;
		TAILQ_INSERT_TAIL(&s->held, w, queued);
		s->n_held++;
	}
	if (!more)
		watcher_written(w);
	session_forget_spent(s, w);
}

static struct watcher *
session_set_first(const struct session_set *set)
{
	if (set->n == 0)
		return NULL;
	for (int i = 0; i < PRIORITIES; i++)
		if (!TAILQ_EMPTY(&set->queues[i]))
			return TAILQ_FIRST(&set->queues[i]);
	return NULL;
}

/* Waiting since before the batch began, so that the batch fires it. */
static bool
session_is_due(const struct session *s, const struct watcher *w)
{
	return w != NULL && w->seq < s->batches;
}

static struct watcher *
session_first_due(const struct session *s, enum watcher_queue queue)
{
	const struct session_set *set = &s->sets[queue];
	struct watcher *w;

	if (set->n == 0)
		return NULL;
	for (int i = 0; i < PRIORITIES; i++) {
		w = TAILQ_FIRST(&set->queues[i]);
		if (session_is_due(s, w))
			return w;
	}
	return NULL;
}

/* What the batch goes on with; NULL: it is written. */
static struct watcher *
session_peek(const struct session *s)
{
	struct watcher *w = session_first_due(s, QUEUE_CHECK);

	if (w == NULL)
		w = session_set_first(&s->sets[s->batch]);
	if (w == NULL && s->idles != NULL) {
		w = TAILQ_FIRST(s->idles);
		if (!session_is_due(s, w))
			w = NULL;
	}
	return w != NULL ? w : session_first_due(s, QUEUE_PREPARE);
}

/*
 * Nothing is ready, and will not be by what was set going last: the loop has
 * looked for it since.
 */
static bool
session_is_idle(const struct session *s)
{
	return s->sets[session_next_set(s)].n == 0 &&
	    s->host.set_going != ev_iteration(s->host.loop) &&
	    session_has_fired(s, timeline_time(&s->host.timeline));
}

/* The idles of the highest priority; NULL if there is none. */
static struct watcher_list *
session_find_idles(struct session *s)
{
	const struct watcher *w = session_set_first(&s->sets[QUEUE_IDLE]);

	return w == NULL ? NULL : session_queue_of(s, w);
}

/* The input has ended, and no active watcher keeps the session going. */
static bool
session_is_left(const struct session *s)
{
	return s->input_ended && (int64_t)s->host.n_active + s->refs <= 0;
}

/* Something is ready, and more is not waited for. */
static bool
session_has_gathered(const struct session *s)
{
	if (s->sets[session_next_set(s)].n == 0)
		return false;
	return s->at_once || session_is_left(s) ||
	    gather_due(&s->gather) <= timeline_time(&s->host.timeline);
}

/* Of what is ready; if nothing is, of idles.  Returns false if of neither. */
static bool
session_begin_batch(struct session *s)
{
	if (s->batch_ends || !listeners_are_told(&s->host.resets))
		return false;
	s->idles = session_is_idle(s) ? session_find_idles(s) : NULL;
	if (!session_has_gathered(s) && s->idles == NULL)
		return false;
	gather_clear(&s->gather);
	session_gather(s);
	s->batch = session_next_set(s);
	s->batches++;
	s->host.set_going = ev_iteration(s->host.loop);
	return true;
}

/* The next event to write: of this batch, or of a new one. */
static struct watcher *
session_next(struct session *s)
{
	struct watcher *w = session_peek(s);

	if (w == NULL && session_begin_batch(s))
		w = session_peek(s);
	if (w != NULL && !w->pending)
		watcher_fired(w);
	return w;
}

void
session_write_events(struct session *s, struct buffer *b, size_t size)
{
	struct watcher *w;

	s->writing = true;
	while (!s->suspended && buffer_len(b) < size &&
	    (w = session_next(s)) != NULL)
		session_write_event(s, w, b);
	s->writing = false;
	if (s->batch_ends && session_peek(s) == NULL)
		s->finished = true;
}

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
session_has_ready(const struct session *s)
{
	return session_peek(s) != NULL || s->sets[session_next_set(s)].n > 0;
}

bool
session_has_work(const struct session *s)
{
	if (s->suspended)
		return false;
	if (session_peek(s) != NULL)
		return true;
	return s->sets[session_next_set(s)].n > 0 ? session_has_gathered(s) :
						    s->sets[QUEUE_IDLE].n > 0;
}

bool
session_has_fired(const struct session *s, double time)
{
	return timeline_has_expired(&s->host.timeline, time) &&
	    alarm_group_is_settled(&s->host.alarms);
}

uint64_t
session_last_batch(const struct session *s)
{
	bool idle = session_peek(s) == NULL && s->sets[QUEUE_IDLE].n > 0;

	return s->batches + (idle || s->sets[session_next_set(s)].n > 0);
}

bool
session_batch_is_written(const struct session *s, uint64_t number)
{
	if (s->batches > number)
		return true;
	if (session_peek(s) != NULL)
		return false;
	return s->batches == number || !session_has_work(s);
}

bool
session_is_over(const struct session *s)
{
	return session_is_left(s) && TAILQ_EMPTY(&s->held) &&
	    !session_has_ready(s) && s->sets[QUEUE_IDLE].n == 0;
}
