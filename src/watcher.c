#include "config.h"

#include "watcher.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "memory.h"

struct watcher *
watcher_new(const struct watcher_class *class, struct watcher_host *host,
    const struct name *name)
{
	struct watcher *w = memory_alloc(class->size + name->json.len);

	memset(w, 0, class->size);
	w->class = class;
	w->host = host;
	w->hold = class->level;
	w->name_len = name->json.len;
	memcpy((char *)w + class->size, name->json.p, name->json.len);
	return w;
}

void
watcher_deactivate(struct watcher *w)
{
	if (!w->active)
		return;
	if (w->class->stop != NULL)
		w->class->stop(w);
	if (watcher_is_waiting(w))
		w->host->dequeue(w);
	w->active = false;
	w->host->n_active--;
}

void
watcher_free(struct watcher *w)
{
	watcher_deactivate(w);
	if (w->queue != QUEUE_NONE)
		w->host->dequeue(w);
	if (w->class->fini != NULL)
		w->class->fini(w);
	free(w->data);
	free(w);
}

struct slice
watcher_name(const struct watcher *w)
{
	return (struct slice){ (const char *)w + w->class->size, w->name_len };
}

struct slice
watcher_data(const struct watcher *w)
{
	return (struct slice){ w->data, w->data == NULL ? 0 : strlen(w->data) };
}

void
watcher_set_data(struct watcher *w, struct slice data)
{
	free(w->data);
	w->data = memory_copy(data.p, data.len);
}

/* --- firing ------------------------------------------------------------- */

void
watcher_feed(struct watcher *w, int revents)
{
	if (w->pending) {
		w->revents |= revents;
		w->overrun++;
		return;
	}
	w->pending = true;
	w->revents = revents;
	w->overrun = 0;
	w->time = timeline_now(&w->host->timeline);
	w->host->queue(w);
}

void
watcher_halt(struct watcher *w)
{
	watcher_deactivate(w);
	w->spent = true;
}

void
watcher_fired_as(struct watcher *w, int revents)
{
	if (w->once && w->active)
		watcher_halt(w);
	watcher_feed(w, revents);
}

void
watcher_fired(struct watcher *w)
{
	watcher_fired_as(w, w->class->revents);
}

/* --- taking back -------------------------------------------------------- */

void
watcher_catch_up(struct watcher *w)
{
	if (w->active && w->class->catch_up != NULL)
		w->class->catch_up(w);
}

/* Active: it waits, unless it has an event pending or is held. */
static void
watcher_set_going(struct watcher *w)
{
	w->host->set_going = ev_iteration(w->host->loop);
	if (w->class->waits != QUEUE_NONE && w->queue == QUEUE_NONE)
		w->host->wait(w);
}

static void
watcher_rearm(struct watcher *w)
{
	if (!w->active)
		return;
	if (w->class->rearm != NULL)
		w->class->rearm(w);
	watcher_set_going(w);
}

static void
watcher_forget(struct watcher *w)
{
	w->pending = false;
	w->overrun = 0;
	if (w->class->forget != NULL)
		w->class->forget(w);
}

uint64_t
watcher_overrun(const struct watcher *w)
{
	if (!w->pending || w->class->behind == NULL)
		return w->overrun;
	return w->overrun + w->class->behind(w);
}

/* The event that was pending is not going to be written. */
static void
watcher_drop(struct watcher *w)
{
	if (!watcher_is_held(w))
		w->host->dequeue(w);
	watcher_forget(w);
}

/* Takes back what is pending, but sets nothing going. */
static void
watcher_take_back(struct watcher *w, struct cleared *cleared)
{
	watcher_catch_up(w);
	*cleared = (struct cleared){ w->pending, w->revents,
		watcher_overrun(w) };
	if (!w->pending)
		return;
	watcher_drop(w);
	w->spent = false;
}

static void
watcher_end_hold(struct watcher *w)
{
	if (watcher_is_held(w))
		w->host->dequeue(w);
}

void
watcher_clear(struct watcher *w, struct cleared *cleared)
{
	watcher_take_back(w, cleared);
	if (!cleared->pending)
		return;
	watcher_end_hold(w);
	watcher_rearm(w);
}

/* --- the watcher's life ------------------------------------------------- */

int
watcher_set(struct watcher *w, const void *args, struct cleared *cleared,
    struct error *error)
{
	uint32_t given = *(const uint32_t *)args;

	*cleared = (struct cleared){ 0 };
	watcher_catch_up(w);
	if (w->active && (given & ~w->class->live)) {
		int i = ffs((int)(given & ~w->class->live)) - 1;

		return error_set(error, ERROR_WATCHER_ACTIVE,
		    "member \"%s\" can't be set while the watcher is active, "
		    "expected a stop before",
		    w->class->params[i].name.p);
	}
	if (given != 0 && w->class->set(w, args, false, error) < 0)
		return -1;
	/* Something else is watched: what was seen before is not of it. */
	if (given & ~w->class->live) {
		watcher_take_back(w, cleared);
		watcher_end_hold(w);
	}
	return 0;
}

static int
watcher_check_give(const struct watcher *w, int fd, struct error *error)
{
	if (fd < 0)
		return 0;
	if (w->class->give == NULL)
		return error_set(error, ERROR_INVALID_ARGUMENT,
		    "member \"fds\" is 1, expected 0: a watcher of type %s takes no "
		    "descriptor",
		    w->class->name.p);
	if (w->active)
		return error_set(error, ERROR_WATCHER_ACTIVE,
		    "member \"fds\" can't be given while the watcher is "
		    "active, expected a stop before");
	return 0;
}

int
watcher_accept(const struct watcher *w, const void *args, int fd,
    struct error *error)
{
	if (watcher_check_give(w, fd, error) < 0)
		return -1;
	return fd < 0 || w->class->accept == NULL ?
	    0 :
	    w->class->accept(w, args, fd, error);
}

int
watcher_give(struct watcher *w, int *fd, struct error *error)
{
	if (watcher_check_give(w, *fd, error) < 0)
		return -1;
	if (*fd >= 0 && w->class->give(w, *fd, error) < 0)
		return -1;
	*fd = -1;
	return 0;
}

/*
 * What was pending is hidden from the type's start, which may fire, and may
 * refuse: then it is as it was.
 */
int
watcher_start(struct watcher *w, struct cleared *cleared, struct error *error)
{
	struct cleared before = { w->pending, w->revents, watcher_overrun(w) };
	bool spent = w->spent;

	*cleared = (struct cleared){ 0 };
	if (w->active)
		return 0;
	w->pending = w->spent = false;
	w->active = true;
	w->host->n_active++;
	if (w->class->start != NULL && w->class->start(w, error) < 0) {
		w->pending = before.pending;
		w->spent = spent;
		w->active = false;
		w->host->n_active--;
		return -1;
	}
	*cleared = before;
	/* It has not fired at once, which would have made an event anew. */
	if (before.pending && !w->pending)
		watcher_drop(w);
	watcher_set_going(w);
	return 0;
}

void
watcher_stop(struct watcher *w, struct cleared *cleared)
{
	watcher_take_back(w, cleared);
	watcher_end_hold(w);
	watcher_deactivate(w);
}

int
watcher_reset(struct watcher *w, struct cleared *cleared, struct error *error)
{
	watcher_clear(w, cleared);
	return w->class->reset(w, error);
}

void
watcher_written(struct watcher *w)
{
	watcher_forget(w);
	if (!(w->class->level && watcher_is_held(w)))
		watcher_rearm(w);
}

void
watcher_unheld(struct watcher *w)
{
	if (w->class->level || w->class->waits != QUEUE_NONE)
		watcher_rearm(w);
}
