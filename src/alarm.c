#include "config.h"

#include "alarm.h"

#include <math.h>
#include <stddef.h>

#include "busy.h"

/* Alarms that hear of a break in one iteration. */
#define TOLD_MAX 1000

/* --- breaks --------------------------------------------------------------- */

static bool
alarm_is_stale(const struct alarm *alarm)
{
	return alarm->heard != alarm->group->breaks;
}

static void
alarm_remove(struct alarm *alarm)
{
	struct alarm_group *group = alarm->group;

	if (!alarm_is_stale(alarm)) {
		TAILQ_REMOVE(&group->active, alarm, entry);
		return;
	}
	TAILQ_REMOVE(&group->stale, alarm, entry);
	if (alarm_group_is_settled(group))
		TAILQ_REMOVE(&group->all->late, group, late);
}

/* The break of that number. */
static struct alarm_break *
alarm_group_kept(struct alarm_group *group, uint32_t number)
{
	return &group->kept[number % ALARM_BREAKS_KEPT];
}

void
alarm_settle(struct alarm *alarm)
{
	struct alarm_group *group = alarm->group;
	uint32_t heard = alarm->heard;

	if (!alarm->active || !alarm_is_stale(alarm))
		return;
	alarm_remove(alarm);
	TAILQ_INSERT_TAIL(&group->active, alarm, entry);
	alarm->heard = group->breaks;
	while (alarm->active && heard != group->breaks)
		alarm->on_break(alarm, alarm_group_kept(group, ++heard));
}

bool
alarm_group_is_settled(const struct alarm_group *group)
{
	return TAILQ_EMPTY(&group->stale);
}

/* Those that need the oldest break that is kept, in whose place comes one. */
static void
alarm_group_make_room(struct alarm_group *group)
{
	struct alarm *first;

	while ((first = TAILQ_FIRST(&group->stale)) != NULL &&
	    group->breaks - first->heard == ALARM_BREAKS_KEPT)
		alarm_settle(first);
}

/* Who is stale already stays in front. */
static void
alarm_group_break(struct alarm_group *group, double before, bool jump)
{
	double now = wallclock_now(group->all->clock);
	bool was_settled;

	alarm_group_make_room(group);
	was_settled = alarm_group_is_settled(group);
	group->breaks++;
	*alarm_group_kept(group, group->breaks) = (struct alarm_break){ before,
		now, jump };
	TAILQ_CONCAT(&group->stale, &group->active, entry);
	if (was_settled && !alarm_group_is_settled(group))
		TAILQ_INSERT_TAIL(&group->all->late, group, late);
}

static void
alarms_on_jump(struct wallclock *clock, double before)
{
	struct alarms *all = clock->data;
	struct alarm_group *group;

	TAILQ_FOREACH(group, &all->groups, entry) {
		bool suspended = group->timeline->suspended;

		alarm_group_break(group,
		    suspended ? alarm_group_due(group) : before, true);
		group->jumped = suspended;
	}
}

void
alarm_group_resume(struct alarm_group *group)
{
	double before = group->jumped ? -INFINITY : group->timeline->now;

	group->jumped = false;
	alarm_group_break(group, before, false);
}

/*
 * A suspended session's clock stands still.  Once it was set, what it showed
 * says nothing of the times that were found anew since.
 */
double
alarm_group_due(const struct alarm_group *group)
{
	return group->jumped ? -INFINITY : timeline_now(group->timeline);
}

static void
alarms_on_prepare(struct ev_loop *loop, struct ev_prepare *prepare, int revents)
{
	struct alarms *all = prepare->data;
	struct alarm_group *group;

	(void)revents;
	for (int i = 0;
	     i < TOLD_MAX && (group = TAILQ_FIRST(&all->late)) != NULL; i++)
		alarm_settle(TAILQ_FIRST(&group->stale));
	if (TAILQ_EMPTY(&all->late))
		ev_idle_stop(loop, &all->busy);
	else
		ev_idle_start(loop, &all->busy);
}

/* --- life ----------------------------------------------------------------- */

void
alarms_init(struct alarms *all, struct wallclock *clock)
{
	*all = (struct alarms){ .loop = clock->loop, .clock = clock };
	TAILQ_INIT(&all->groups);
	TAILQ_INIT(&all->late);
	ev_prepare_init(&all->prepare, alarms_on_prepare);
	busy_init(&all->busy);
	all->prepare.data = all;
	ev_prepare_start(all->loop, &all->prepare);
	clock->on_jump = alarms_on_jump;
	clock->data = all;
}

void
alarms_fini(struct alarms *all)
{
	ev_prepare_stop(all->loop, &all->prepare);
	ev_idle_stop(all->loop, &all->busy);
	all->clock->on_jump = NULL;
}

void
alarm_group_init(struct alarm_group *group, struct alarms *all,
    struct timeline *timeline)
{
	*group = (struct alarm_group){ .all = all, .timeline = timeline };
	TAILQ_INIT(&group->active);
	TAILQ_INIT(&group->stale);
	TAILQ_INSERT_TAIL(&all->groups, group, entry);
}

void
alarm_group_fini(struct alarm_group *group)
{
	TAILQ_REMOVE(&group->all->groups, group, entry);
}

/* --- alarms --------------------------------------------------------------- */

void
alarm_expire(struct alarm *alarm)
{
	/* By the old clock; it stays set until it has heard of the new one. */
	if (alarm_is_stale(alarm)) {
		alarm_set(alarm, alarm->at);
		alarm_settle(alarm);
		return;
	}
	/* A double of today's date is good to 0.2 us: maybe not quite yet. */
	if (timeline_now(alarm->group->timeline) < alarm->at)
		alarm_set(alarm, alarm->at);
	else
		alarm->on_time(alarm);
}

void
alarm_init(struct alarm *alarm, struct alarm_group *group)
{
	*alarm = (struct alarm){ .group = group };
}

void
alarm_start(struct alarm *alarm)
{
	if (alarm->active)
		return;
	alarm->active = true;
	alarm->heard = alarm->group->breaks;
	TAILQ_INSERT_TAIL(&alarm->group->active, alarm, entry);
}

void
alarm_stop(struct alarm *alarm)
{
	alarm_unset(alarm);
	if (!alarm->active)
		return;
	alarm->active = false;
	alarm_remove(alarm);
}

void
alarm_set(struct alarm *alarm, double at)
{
	struct timeline *t = alarm->group->timeline;

	alarm->at = at;
	timeline_set(t, &alarm->deadline,
	    timeline_time(t) + (at - timeline_now(t)));
}

void
alarm_unset(struct alarm *alarm)
{
	timeline_unset(alarm->group->timeline, &alarm->deadline);
}
