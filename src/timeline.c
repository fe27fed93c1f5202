#include "config.h"

#include "timeline.h"

#include <math.h>
#include <stddef.h>

#include "busy.h"

#define TIMELINE_OF(turn_) \
	((struct timeline *)((char *)(turn_)-offsetof(struct timeline, turn)))

/* --- all of them ---------------------------------------------------------- */

/*
 * libev counts from its own reading of the clock, which is not older than
 * ours: the timer is never early by more than a rounding.
 */
static void
timelines_start_timer(struct timelines *all)
{
	double at = deadlines_first_at(&all->turns);

	if (ev_is_active(&all->timer) && all->timer_at == at)
		return;
	ev_timer_stop(all->loop, &all->timer);
	if (isinf(at))
		return;
	all->timer_at = at;
	ev_timer_set(&all->timer, at - wallclock_monotonic(all->clock), 0);
	ev_timer_start(all->loop, &all->timer);
}

/* --- of one session ------------------------------------------------------- */

void
timeline_init(struct timeline *t, struct timelines *all)
{
	*t = (struct timeline){ .all = all };
	deadlines_init(&t->deadlines);
}

double
timeline_time(const struct timeline *t)
{
	return t->suspended ? t->time :
			      wallclock_monotonic(t->all->clock) - t->lag;
}

double
timeline_monotonic(const struct timeline *t)
{
	return timeline_time(t) + t->lag;
}

double
timeline_now(const struct timeline *t)
{
	return t->suspended ? t->now : wallclock_now(t->all->clock);
}

/*
 * It has its turn when the first of its deadlines is due; but where one was
 * left when it had its last one, others that are due come before.
 */
static void
timeline_queue(struct timeline *t)
{
	struct timelines *all = t->all;
	double at = deadlines_first_at(&t->deadlines) + t->lag;

	if (t->suspended || isinf(at))
		deadlines_unset(&all->turns, &t->turn);
	else
		deadlines_set(&all->turns, &t->turn, fmax(at, t->served));
	timelines_start_timer(all);
}

void
timeline_set(struct timeline *t, struct deadline *d, double time)
{
	double first = deadlines_first_at(&t->deadlines);

	if (t->ended)
		return;
	deadlines_set(&t->deadlines, d, time);
	if (deadlines_first_at(&t->deadlines) != first)
		timeline_queue(t);
}

void
timeline_unset(struct timeline *t, struct deadline *d)
{
	double first = deadlines_first_at(&t->deadlines);

	if (t->ended || !deadline_is_set(d))
		return;
	deadlines_unset(&t->deadlines, d);
	if (deadlines_first_at(&t->deadlines) != first)
		timeline_queue(t);
}

bool
timeline_has_expired(const struct timeline *t, double time)
{
	return t->suspended || deadlines_first_at(&t->deadlines) > time;
}

void
timeline_suspend(struct timeline *t)
{
	t->time = timeline_time(t);
	t->now = timeline_now(t);
	t->suspended = true;
	timeline_queue(t);
}

void
timeline_resume(struct timeline *t)
{
	t->suspended = false;
	t->lag = wallclock_monotonic(t->all->clock) - t->time;
	timeline_queue(t);
}

void
timeline_end(struct timeline *t)
{
	t->ended = true;
	deadlines_fini(&t->deadlines);
	timeline_queue(t);
}

/* --- the iteration -------------------------------------------------------- */

/* It has a turn; returns how many have expired, or 1. */
static int
timeline_expire(struct timeline *t, int max)
{
	double time = timeline_time(t);
	int n = 0;

	while (n < max && deadlines_first_at(&t->deadlines) <= time) {
		struct deadline *d = deadlines_first(&t->deadlines);

		deadlines_unset(&t->deadlines, d);
		t->on_time(t, d);
		n++;
	}
	t->served = wallclock_monotonic(t->all->clock);
	timeline_queue(t);
	return n > 0 ? n : 1;
}

static bool
timelines_are_due(const struct timelines *all)
{
	return deadlines_first_at(&all->turns) <=
	    wallclock_monotonic(all->clock);
}

static void
timelines_on_check(struct ev_loop *loop, struct ev_check *check, int revents)
{
	struct timelines *all = check->data;
	int budget = TIMELINES_EXPIRED;

	(void)revents;
	while (budget > 0 && timelines_are_due(all)) {
		struct deadline *turn = deadlines_first(&all->turns);

		budget -= timeline_expire(TIMELINE_OF(turn),
		    budget < TIMELINE_TURN ? budget : TIMELINE_TURN);
	}
	if (timelines_are_due(all)) {
		ev_idle_start(loop, &all->busy);
		return;
	}
	ev_idle_stop(loop, &all->busy);
	timelines_start_timer(all);
}

/* They are there so that libev does not block. */
static void
timelines_on_timer(struct ev_loop *loop, struct ev_timer *timer, int revents)
{
	(void)loop;
	(void)timer;
	(void)revents;
}

void
timelines_init(struct timelines *all, const struct wallclock *clock)
{
	*all = (struct timelines){ .loop = clock->loop, .clock = clock };
	deadlines_init(&all->turns);
	ev_init(&all->timer, timelines_on_timer);
	busy_init(&all->busy);
	ev_check_init(&all->check, timelines_on_check);
	all->check.data = all;
	/* Behind the clocks' reading. */
	ev_set_priority(&all->check, EV_MAXPRI - 1);
	ev_check_start(all->loop, &all->check);
}

void
timelines_fini(struct timelines *all)
{
	ev_timer_stop(all->loop, &all->timer);
	ev_idle_stop(all->loop, &all->busy);
	ev_check_stop(all->loop, &all->check);
	deadlines_fini(&all->turns);
}
