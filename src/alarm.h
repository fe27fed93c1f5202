#ifndef EVD_ALARM_H
#define EVD_ALARM_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "timeline.h"

/*
 * Alarms by the wall clock, on the timelines of sessions.
 *
 * Where the wall clock that a session sees does not go on evenly is a break:
 * somebody has set it, or the session was suspended and goes on.  All active
 * alarms of a session hear of it, but not all in one iteration: there may be
 * many.  One that is looked at before its turn has come is told first.  Further
 * breaks may come before all were told of one: each alarm hears of every one,
 * in order.  So many are kept for that; with one more, those that have not
 * heard of the oldest are told of it at once.
 */
#define ALARM_BREAKS_KEPT 4

struct alarm_break {
	/* What came up to then was due; all after it and up to now is not. */
	double before;
	double now;
	bool jump; /* the clock was set */
};

struct alarm {
	struct deadline deadline; /* first */
	struct alarm_group *group;
	TAILQ_ENTRY(alarm) entry;
	uint32_t heard; /* of which of the group's breaks, last */
	bool active;
	double at; /* while it is set */
	/* The wall clock shows the time; the alarm is not set any more. */
	void (*on_time)(struct alarm *);
	/* Called for all active alarms; what is set is to be set again. */
	void (*on_break)(struct alarm *, const struct alarm_break *);
};

TAILQ_HEAD(alarm_list, alarm);

/* Those of a session. */
struct alarm_group {
	struct alarms *all;
	struct timeline *timeline;
	TAILQ_ENTRY(alarm_group) entry;
	TAILQ_ENTRY(alarm_group) late;
	struct alarm_list active;
	/* Active, and have not heard of the last; the furthest behind first. */
	struct alarm_list stale;
	struct alarm_break kept[ALARM_BREAKS_KEPT]; /* the last, in a ring */
	uint32_t breaks;			    /* so far */
	bool jumped; /* suspended: the clock was set meanwhile */
};

TAILQ_HEAD(alarm_groups, alarm_group);

/* Those of all sessions. */
struct alarms {
	struct ev_loop *loop;
	struct wallclock *clock;
	struct ev_prepare prepare;
	struct ev_idle busy; /* active while there are late ones */
	struct alarm_groups groups;
	struct alarm_groups late; /* those with stale alarms */
};

/* Takes the clock's on_jump. */
void alarms_init(struct alarms *, struct wallclock *);
void alarms_fini(struct alarms *);

void alarm_group_init(struct alarm_group *, struct alarms *, struct timeline *);
/* No alarm is active any more. */
void alarm_group_fini(struct alarm_group *);

/* The wall clock's time up to which all is due that comes. */
double alarm_group_due(const struct alarm_group *);
/* The timeline was suspended and has been resumed. */
void alarm_group_resume(struct alarm_group *);
/* Whether all of them have heard of all breaks. */
bool alarm_group_is_settled(const struct alarm_group *);

/* The two functions are the caller's to fill. */
void alarm_init(struct alarm *, struct alarm_group *);

/* From start to stop the alarm hears of breaks. */
void alarm_start(struct alarm *);
void alarm_stop(struct alarm *);

/* Tells an alarm of breaks that it has not heard of; before it is looked at. */
void alarm_settle(struct alarm *);

/* The timeline's on_time() for its deadline. */
void alarm_expire(struct alarm *);

/* Sets an active alarm to a time, in the past too: then it comes at once. */
void alarm_set(struct alarm *, double at);
/* The alarm stays active, but no time is set. */
void alarm_unset(struct alarm *);

static inline bool
alarm_is_set(const struct alarm *alarm)
{
	return deadline_is_set(&alarm->deadline);
}

#endif
