#include "config.h"

#include "dirwatch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "memory.h"
#include "way.h"

#define EXPLAIN_EVERY_S 60

enum { JOB_OF_PLACE, JOB_OF_POLL };

/* Of an item that is polled. */
struct dirwatch_poll {
	struct job job; /* first */
	struct ev_timer timer;
	struct dirwatch_item *item;
};

/* --- anchors ------------------------------------------------------------------ */

static struct dirwatch_anchor *
item_anchor(struct dirwatch_item *item, unsigned i)
{
	return i == 0 ? &item->first : &item->more[i - 1];
}

static bool
item_is_anchored_as(struct dirwatch_item *item, const struct way *way)
{
	if (item->n_anchors != way->n)
		return false;
	for (unsigned i = 0; i < way->n; i++)
		if (item_anchor(item, i)->place != way->anchors[i])
			return false;
	return true;
}

static void
item_drop_anchors(struct dirwatch_item *item)
{
	for (unsigned i = 0; i < item->n_anchors; i++) {
		struct dirwatch_anchor *anchor = item_anchor(item, i);

		TAILQ_REMOVE(&anchor->place->anchors, anchor, entry);
		place_unref(anchor->place);
	}
	free(item->more);
	item->more = NULL;
	item->n_anchors = 0;
}

/* Takes the references. */
static void
item_set_anchors(struct dirwatch_item *item, const struct way *way)
{
	item_drop_anchors(item);
	item->n_anchors = (uint8_t)way->n;
	if (way->n > 1)
		item->more = memory_alloc((way->n - 1) * sizeof(*item->more));
	for (unsigned i = 0; i < way->n; i++) {
		struct dirwatch_anchor *anchor = item_anchor(item, i);
		struct place *p = way->anchors[i];

		*anchor = (struct dirwatch_anchor){
			.place = p,
			.item = item,
			.seen = p->sweep,
		};
		TAILQ_INSERT_TAIL(&p->anchors, anchor, entry);
	}
}

/* The place of the file itself, or NULL. */
static struct place *
item_end(struct dirwatch_item *item)
{
	return item->complete ? item_anchor(item, item->n_anchors - 1)->place :
				NULL;
}

static int
item_wd(struct dirwatch_item *item)
{
	const struct place *end = item_end(item);

	return end == NULL ? -1 : place_wd(end);
}

/* --- polling ------------------------------------------------------------------ */

static double
item_interval(const struct dirwatch_item *item)
{
	return item->interval > 0 ? item->interval : DIRWATCH_INTERVAL_S;
}

/* Once a minute is enough, unless the reason is another. */
static void
item_explain(struct dirwatch_item *item, int reason)
{
	struct dirwatch *dirwatch = item->dirwatch;
	double now = ev_now(dirwatch->jobs.loop);
	char path[256];

	if (reason == dirwatch->explained &&
	    now < dirwatch->explained_at + EXPLAIN_EVERY_S)
		return;
	dirwatch->explained = reason;
	dirwatch->explained_at = now;
	log_escape(path, sizeof(path), item->path, strlen(item->path));
	if (reason == WAY_DEAF)
		log_notice("stat: %s is compared every %g s: the file system "
			   "does not tell of all changes",
		    path, item_interval(item));
	else
		log_warning("stat: %s is compared every %g s: %s%s", path,
		    item_interval(item), strerror(reason),
		    reason == ENOSPC	     ? " (max_user_watches)" :
			reason == EMFILE     ? " (max_user_instances)" :
			reason == EOPNOTSUPP ? " (disabled)" :
					       "");
}

static void
item_on_time(struct ev_loop *loop, struct ev_timer *timer, int revents)
{
	struct dirwatch_poll *poll = timer->data;

	(void)revents;
	timer->repeat = item_interval(poll->item);
	ev_timer_again(loop, timer);
	jobs_add(&poll->item->dirwatch->jobs, &poll->job);
}

static void
item_start_poll(struct dirwatch_item *item, int reason)
{
	struct dirwatch_poll *poll;

	if (item->poll != NULL)
		return;
	item_explain(item, reason);
	poll = item->poll = memory_zalloc(sizeof(*poll));
	poll->item = item;
	poll->job.kind = JOB_OF_POLL;
	ev_timer_init(&poll->timer, item_on_time, 0, item_interval(item));
	poll->timer.data = poll;
	ev_timer_again(item->dirwatch->jobs.loop, &poll->timer);
}

static void
item_stop_poll(struct dirwatch_item *item)
{
	struct dirwatch *dirwatch = item->dirwatch;

	if (item->poll == NULL)
		return;
	ev_timer_stop(dirwatch->jobs.loop, &item->poll->timer);
	jobs_remove(&dirwatch->jobs, &item->poll->job);
	free(item->poll);
	item->poll = NULL;
}

/* --- comparing ---------------------------------------------------------------- */

/* Goes its way, so that any change makes an event. */
static void
item_walk(struct dirwatch_item *item)
{
	struct places *places = &item->dirwatch->places;
	struct way way;
	int err = -marks_open(&places->marks);

	if (err != 0) {
		item_start_poll(item, err);
		return;
	}
	way_go(&way, places, item->path, item->follow);
	if (item_is_anchored_as(item, &way))
		way_drop(&way);
	else
		item_set_anchors(item, &way);
	item->complete = way.complete;
	if (way.reason != 0)
		item_start_poll(item, way.reason);
	else
		item_stop_poll(item);
}

/* Two changes may leave the same times. */
static bool
item_is_coarse(struct dirwatch_item *item, const struct filestate *state)
{
	const struct place *end = item_end(item);

	return filestate_is_there(state) &&
	    ((end != NULL && place_is_coarse(end)) ||
		state->ctime_ns == 0); /* whole seconds */
}

/*
 * touched: there was an event about the file itself.  Another file with the
 * number of the one before may have all else in common too, but not the mark.
 */
static int
item_compare(struct dirwatch_item *item, bool touched)
{
	int wd = item_wd(item), wd_before = item->wd;
	struct filestate state;
	bool changed;
	int err = filestate_take(&state, item->path, item->follow);

	if (err < 0) {
		/* What is there can't be said: until it can, ask again. */
		item_start_poll(item, -err);
		return err;
	}
	changed = !filestate_equal(&state, &item->state) ||
	    (filestate_is_there(&state) && wd >= 0 && wd_before >= 0 &&
		wd != wd_before) ||
	    (touched && item_is_coarse(item, &state));
	item->state = state;
	item->wd = wd;
	if (changed)
		item->on_change(item);
	return 0;
}

int
dirwatch_add(struct dirwatch *dirwatch, struct dirwatch_item *item)
{
	int err;

	item->dirwatch = dirwatch;
	item->complete = false;
	item_walk(item);
	err = filestate_take(&item->state, item->path, item->follow);
	if (err < 0)
		dirwatch_del(item);
	else
		item->wd = item_wd(item);
	return err;
}

void
dirwatch_del(struct dirwatch_item *item)
{
	if (item->dirwatch == NULL)
		return;
	item_stop_poll(item);
	item_drop_anchors(item);
	item->dirwatch = NULL;
}

int
dirwatch_compare(struct dirwatch_item *item)
{
	if (item->poll != NULL) {
		item->poll->timer.repeat = item_interval(item);
		ev_timer_again(item->dirwatch->jobs.loop, &item->poll->timer);
	}
	item_walk(item);
	return item_compare(item, false);
}

bool
dirwatch_is_polled(const struct dirwatch_item *item)
{
	return item->poll != NULL;
}

/* --- jobs ---------------------------------------------------------------------- */

/* May free the place, and call on_change. */
static void
dirwatch_visit_anchor(struct place *p, struct dirwatch_anchor *anchor)
{
	struct dirwatch_item *item = anchor->item;
	bool touched = p->touched && item_end(item) == p;

	TAILQ_REMOVE(&p->anchors, anchor, entry);
	TAILQ_INSERT_TAIL(&p->anchors, anchor, entry);
	anchor->seen = p->sweep;
	if (p->force)
		item_walk(item);
	item_compare(item, touched);
}

static void
dirwatch_step_place(struct place *p)
{
	struct dirwatch_anchor *anchor;

	if (place_step(p))
		return;
	anchor = TAILQ_FIRST(&p->anchors);
	if (anchor != NULL && anchor->seen != p->sweep)
		dirwatch_visit_anchor(p, anchor);
	else
		place_settle(p);
}

static void
dirwatch_step_poll(struct dirwatch_item *item)
{
	jobs_remove(&item->dirwatch->jobs, &item->poll->job);
	item_walk(item);
	item_compare(item, false);
}

static void
dirwatch_on_step(struct jobs *jobs, struct job *job)
{
	(void)jobs;
	if (job->kind == JOB_OF_POLL)
		dirwatch_step_poll(((struct dirwatch_poll *)job)->item);
	else
		dirwatch_step_place(PLACE_OF_JOB(job));
}

uint64_t
dirwatch_gather(struct dirwatch *dirwatch)
{
	places_gather(&dirwatch->places);
	return dirwatch->jobs.tickets;
}

bool
dirwatch_is_done(const struct dirwatch *dirwatch, uint64_t ticket)
{
	return jobs_are_done(&dirwatch->jobs, ticket);
}

/* --- life ---------------------------------------------------------------------- */

void
dirwatch_init(struct dirwatch *dirwatch, struct ev_loop *loop)
{
	*dirwatch = (struct dirwatch){ 0 };
	jobs_init(&dirwatch->jobs, loop);
	dirwatch->jobs.on_step = dirwatch_on_step;
	places_init(&dirwatch->places, &dirwatch->jobs, loop);
}

void
dirwatch_fini(struct dirwatch *dirwatch)
{
	jobs_fini(&dirwatch->jobs);
	places_fini(&dirwatch->places);
}
