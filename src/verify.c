#include "config.h"

#include "verify.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"

/*
 * It may take several iterations of the loop.  Each watcher is checked by
 * itself; how many there are of each kind is compared with the session's
 * counters if nothing has moved meanwhile.
 */

#define NAME_SHOWN 64

static void
verify_fail(const struct session *s, const struct watcher *w, const char *what)
{
	struct slice name = w == NULL ? (struct slice){ "", 0 } :
					watcher_name(w);
	char session[NAME_SHOWN], watcher[NAME_SHOWN];

	log_error("session %s, watcher %s: not so: %s",
	    log_escape(session, sizeof(session), s->id.name,
		strlen(s->id.name)),
	    log_escape(watcher, sizeof(watcher), name.p, name.len), what);
	abort();
}

#define MUST(s, w, condition)                              \
	do {                                               \
		if (!(condition))                          \
			verify_fail((s), (w), #condition); \
	} while (0)

/* Its place in the lists, without going through them. */
static void
verify_links(const struct session *s, const struct watcher *w)
{
	const struct watcher *next = TAILQ_NEXT(w, entry);

	MUST(s, w, *w->entry.tqe_prev == w);
	MUST(s, w, next == NULL || next->entry.tqe_prev == &w->entry.tqe_next);
	if (w->queue == QUEUE_NONE)
		return;
	next = TAILQ_NEXT(w, queued);
	MUST(s, w, *w->queued.tqe_prev == w);
	MUST(s, w,
	    next == NULL || next->queued.tqe_prev == &w->queued.tqe_next);
	MUST(s, w, next == NULL || next->queue == w->queue);
	if (next == NULL || w->queue <= QUEUE_READY_1)
		return;
	MUST(s, w,
	    watcher_is_held(w) ? w->seq < next->seq : w->seq <= next->seq);
}

/* That it is where it belongs. */
static void
verify_queue(const struct session *s, const struct watcher *w)
{
	bool waits = w->active && !w->pending && !watcher_is_held(w) &&
	    w->class->waits != QUEUE_NONE;

	MUST(s, w, w->queue <= QUEUE_HELD);
	MUST(s, w, watcher_is_waiting(w) == waits);
	if (watcher_is_held(w)) {
		MUST(s, w, w->hold);
		MUST(s, w, w->seq >= 1 && w->seq <= s->seq);
	} else if (waits) {
		MUST(s, w, w->seq <= s->batches);
	} else {
		MUST(s, w, w->pending == (w->queue != QUEUE_NONE));
	}
}

static void
verify_deadline(const struct session *s, const struct watcher *w)
{
	const struct deadline *d = DEADLINE_OF_WATCHER(w);

	if (w->class->on_time == NULL || !deadline_is_set(d))
		return;
	MUST(s, w, w->active);
	MUST(s, w, deadlines_are_sound_at(&s->host.timeline.deadlines, d));
}

static void
verify_watcher(const struct session *s, const struct watcher *w)
{
	struct name name = { .json = watcher_name(w) };
	struct error error;

	MUST(s, w, w->host == &s->host);
	MUST(s, w, session_find_watcher(s, &name, &error) == w);
	MUST(s, w, w->priority >= -PRIORITY_MAX && w->priority <= PRIORITY_MAX);
	MUST(s, w, w->hold || !w->class->level);
	MUST(s, w, !(w->spent && w->active));
	MUST(s, w, w->pending || w->overrun == 0);
	verify_queue(s, w);
	verify_links(s, w);
	verify_deadline(s, w);
}

static void
verify_set(const struct session *s, enum watcher_queue set)
{
	bool empty = true;

	for (int i = 0; i < PRIORITIES; i++)
		empty &= TAILQ_EMPTY(&s->sets[set].queues[i]);
	MUST(s, NULL, empty == (s->sets[set].n == 0));
}

static void
verify_session(const struct session *s)
{
	struct slice name = { s->id.name, strlen(s->id.name) };
	uid_t uid = account_uid(&s->account);
	size_t visits = 1, n = 0;
	uint64_t number = s->id.number - 1;
	struct error error;

	MUST(s, NULL, session_find(s->registry, uid, name, &error) == s);
	MUST(s, NULL,
	    session_next_by_number(s->registry, &number, &visits) == s);
	MUST(s, NULL, s->batch == QUEUE_READY_0 || s->batch == QUEUE_READY_1);
	MUST(s, NULL, TAILQ_EMPTY(&s->held) == (s->n_held == 0));
	MUST(s, NULL, s->account.used[LIMIT_WATCHERS] == s->names.count);
	for (int set = QUEUE_READY_0; set < QUEUE_HELD; set++)
		verify_set(s, set);
	for (int kind = 0; kind < GATHER_KINDS; kind++)
		n += s->gather.n[kind];
	MUST(s, NULL, n == s->sets[session_next_set(s)].n);
	MUST(s, NULL, s->suspended || !s->host.timeline.suspended);
}

/* What there is in all, when nothing has moved since the beginning. */
static void
verify_counts(const struct session *s)
{
	const struct session_census *c = &s->census;

	MUST(s, NULL, c->n == s->names.count);
	MUST(s, NULL, c->n_active == s->host.n_active);
	MUST(s, NULL, c->queued[QUEUE_HELD] == s->n_held);
	for (int set = QUEUE_READY_0; set < QUEUE_HELD; set++)
		MUST(s, NULL, c->queued[set] == s->sets[set].n);
}

void
verify_begin(struct session *s)
{
	verify_session(s);
	s->census = (struct session_census){
		.next = TAILQ_FIRST(&s->watchers),
		.still = true,
		.active = s->host.n_active,
	};
}

bool
verify_some(struct session *s, size_t max)
{
	struct session_census *c = &s->census;

	for (; max > 0 && c->next != NULL; max--) {
		const struct watcher *w = c->next;

		verify_watcher(s, w);
		c->n++;
		c->n_active += w->active;
		c->queued[w->queue]++;
		c->next = TAILQ_NEXT(w, entry);
	}
	if (c->next != NULL)
		return false;
	if (c->still && c->active == s->host.n_active)
		verify_counts(s);
	return true;
}
