#include "config.h"

#include "recur.h"

#include <math.h>

#include "put.h"

#define RECUR_OF(a) \
	((struct recur *)((char *)(a)-offsetof(struct recur, alarm)))

_Static_assert(offsetof(struct recur, alarm.deadline) == sizeof(struct watcher),
    "behind the base");

double
recur_now(const struct recur *r)
{
	return timeline_now(&r->base.host->timeline);
}

/* Past the next time and all others up to some moment. */
static void
recur_advance(struct recur *r, double to)
{
	r->next = r->rule->next(r, to);
	if (isinf(r->next))
		watcher_halt(&r->base);
}

static void
recur_fire(struct recur *r)
{
	alarm_unset(&r->alarm);
	recur_advance(r, r->next);
	watcher_fired(&r->base);
}

/* What is due by some moment has fired, or is counted. */
static void
recur_catch_up_to(struct recur *r, double to)
{
	if (r->next <= to && alarm_is_set(&r->alarm))
		recur_fire(r);
	if (r->next > to || !r->base.active)
		return;
	r->base.overrun += 1 + r->rule->count(r, r->next, to);
	recur_advance(r, to);
}

static void
recur_on_alarm(struct alarm *alarm)
{
	recur_fire(RECUR_OF(alarm));
}

static void
recur_on_break(struct alarm *alarm, const struct alarm_break *b)
{
	struct recur *r = RECUR_OF(alarm);

	recur_catch_up_to(r, b->before);
	if (!r->base.active)
		return;
	r->next = r->rule->begin(r, b->now);
	if (alarm_is_set(alarm))
		alarm_set(alarm, r->next);
	if (b->jump && r->jumps) {
		r->jumped = true;
		watcher_fired(&r->base);
	}
}

void
recur_init(struct recur *r, const struct recur_rule *rule)
{
	r->rule = rule;
	alarm_init(&r->alarm, &r->base.host->alarms);
	r->alarm.on_time = recur_on_alarm;
	r->alarm.on_break = recur_on_break;
}

void
recur_on_time(struct watcher *w)
{
	alarm_expire(&((struct recur *)w)->alarm);
}

int
recur_start(struct watcher *w, struct error *error)
{
	struct recur *r = (struct recur *)w;

	(void)error;
	r->next = r->rule->begin(r, recur_now(r));
	alarm_start(&r->alarm);
	alarm_set(&r->alarm, r->next);
	return 0;
}

void
recur_stop(struct watcher *w)
{
	alarm_stop(&((struct recur *)w)->alarm);
}

/* libev's ev_periodic_again. */
int
recur_reset(struct watcher *w, struct error *error)
{
	struct cleared none;

	return w->active ? recur_start(w, error) :
			   watcher_start(w, &none, error);
}

void
recur_catch_up(struct watcher *w)
{
	struct recur *r = (struct recur *)w;

	alarm_settle(&r->alarm);
	if (w->active)
		recur_catch_up_to(r, alarm_group_due(&w->host->alarms));
}

void
recur_rearm(struct watcher *w)
{
	struct recur *r = (struct recur *)w;

	if (!alarm_is_set(&r->alarm))
		alarm_set(&r->alarm, r->next);
}

void
recur_forget(struct watcher *w)
{
	((struct recur *)w)->jumped = false;
}

/* --- what it says --------------------------------------------------------- */

static void
recur_put_at(const struct recur *r, struct buffer *b)
{
	if (!r->base.active)
		return;
	put_key(b, "at");
	put_time(b, r->next);
}

void
recur_put_event(const struct watcher *w, struct buffer *b)
{
	const struct recur *r = (const struct recur *)w;

	recur_put_at(r, b);
	if (r->jumped)
		buffer_puts(b, ",\"jump\":true");
}

void
recur_put_state(const struct recur *r, struct buffer *b)
{
	if (r->jumps)
		buffer_puts(b, ",\"jumps\":true");
	recur_put_at(r, b);
}

void
recur_put_next(const struct watcher *w, struct buffer *b, int n)
{
	const struct recur *r = (const struct recur *)w;
	double time = w->active ? r->next : r->rule->begin(r, recur_now(r));

	put_key(b, "next");
	buffer_putc(b, '[');
	for (int i = 0; i < n && isfinite(time); i++) {
		if (i > 0)
			buffer_putc(b, ',');
		put_time(b, time);
		time = r->rule->next(r, time);
	}
	buffer_putc(b, ']');
}
