#include "config.h"

#include "batch.h"

#include "event.h"
#include "watchers/classes.h"

static void
batch_write_event(struct session *s, struct watcher *w, struct buffer *b)
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
	session_dequeue(w);
	if (w->hold && !s->input_ended)
		session_hold(s, w);
	if (!more)
		watcher_written(w);
	if (w->release)
		session_forget_spent(s, w);
}

static struct watcher *
batch_set_first(const struct session_set *set)
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
batch_is_due(const struct session *s, const struct watcher *w)
{
	return w != NULL && w->seq < s->batches;
}

static struct watcher *
batch_first_due(const struct session *s, enum watcher_queue queue)
{
	const struct session_set *set = &s->sets[queue];
	struct watcher *w;

	if (set->n == 0)
		return NULL;
	for (int i = 0; i < PRIORITIES; i++) {
		w = TAILQ_FIRST(&set->queues[i]);
		if (batch_is_due(s, w))
			return w;
	}
	return NULL;
}

/* What the batch goes on with; NULL: it is written. */
static struct watcher *
batch_peek(const struct session *s)
{
	struct watcher *w = batch_first_due(s, QUEUE_CHECK);

	if (w == NULL)
		w = batch_set_first(&s->sets[s->batch]);
	if (w == NULL && s->idles != NULL) {
		w = TAILQ_FIRST(s->idles);
		if (!batch_is_due(s, w))
			w = NULL;
	}
	return w != NULL ? w : batch_first_due(s, QUEUE_PREPARE);
}

/*
 * Nothing is ready, and will not be by what was set going last: the loop has
 * looked for it since.
 */
static bool
batch_is_idle(const struct session *s)
{
	return s->sets[session_next_set(s)].n == 0 &&
	    s->host.set_going != ev_iteration(s->host.loop) &&
	    session_has_fired(s, timeline_time(&s->host.timeline));
}

/* The idles of the highest priority; NULL if there is none. */
static struct watcher_list *
batch_find_idles(struct session *s)
{
	const struct watcher *w = batch_set_first(&s->sets[QUEUE_IDLE]);

	return w == NULL ? NULL : session_queue_of(s, w);
}

/* Something is ready, and more is not waited for. */
static bool
batch_has_gathered(const struct session *s)
{
	if (s->sets[session_next_set(s)].n == 0)
		return false;
	return s->at_once || session_is_left(s) ||
	    gather_due(&s->gather) <= timeline_time(&s->host.timeline);
}

/* Of what is ready; if nothing is, of idles.  Returns false if of neither. */
static bool
batch_begin(struct session *s)
{
	if (s->batch_ends || !listeners_are_told(&s->host.resets))
		return false;
	s->idles = batch_is_idle(s) ? batch_find_idles(s) : NULL;
	if (!batch_has_gathered(s) && s->idles == NULL)
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
batch_next(struct session *s)
{
	struct watcher *w = batch_peek(s);

	if (w == NULL && batch_begin(s))
		w = batch_peek(s);
	if (w != NULL && !w->pending)
		watcher_fired(w);
	return w;
}

void
batch_write_events(struct session *s, struct buffer *b, size_t size)
{
	struct watcher *w;

	s->writing = true;
	while (!s->suspended && buffer_len(b) < size &&
	    (w = batch_next(s)) != NULL)
		batch_write_event(s, w, b);
	s->writing = false;
	if (s->batch_ends && batch_peek(s) == NULL)
		s->finished = true;
}

bool
batch_has_ready(const struct session *s)
{
	return batch_peek(s) != NULL || s->sets[session_next_set(s)].n > 0;
}

bool
batch_has_work(const struct session *s)
{
	if (s->suspended)
		return false;
	if (batch_peek(s) != NULL)
		return true;
	return s->sets[session_next_set(s)].n > 0 ? batch_has_gathered(s) :
						    s->sets[QUEUE_IDLE].n > 0;
}

uint64_t
batch_last(const struct session *s)
{
	bool idle = batch_peek(s) == NULL && s->sets[QUEUE_IDLE].n > 0;

	return s->batches + (idle || s->sets[session_next_set(s)].n > 0);
}

bool
batch_is_written(const struct session *s, uint64_t number)
{
	if (s->batches > number)
		return true;
	if (batch_peek(s) != NULL)
		return false;
	return s->batches == number || !batch_has_work(s);
}

bool
batch_was_last(const struct session *s)
{
	return session_is_left(s) && TAILQ_EMPTY(&s->held) &&
	    !batch_has_ready(s) && s->sets[QUEUE_IDLE].n == 0;
}
