#ifndef EVD_RECUR_H
#define EVD_RECUR_H

#include <stdbool.h>
#include <stdint.h>

#include "alarm.h"
#include "watcher.h"

/*
 * What the types share that fire at times of the wall clock, by a rule: a
 * type embeds it in place of the watcher's base, and says what the rule is.
 *
 * Each time is one firing.  When the clock is set, those that it is set over
 * are skipped, and those that come again fire again; those that pass while the
 * session is suspended are skipped as well.  What was due before is still an
 * event, or counted.  From a firing until its event is written nothing is set:
 * the times that pass are counted when somebody asks.
 */
struct recur;

struct recur_rule {
	/* The first time, for one that starts then or whose clock was set. */
	double (*begin)(const struct recur *, double now);
	/* The first time behind one; infinite: there is none any more. */
	double (*next)(const struct recur *, double behind);
	/* How many times lie behind the one, up to and with the other. */
	uint64_t (*count)(const struct recur *, double behind, double to);
};

struct recur {
	struct watcher base; /* first */
	struct alarm alarm;  /* set unless a time has come that is pending */
	const struct recur_rule *rule;
	double next; /* active: the next time */
	bool jumps;  /* it fires also when the clock was set */
	bool jumped; /* pending, and the clock was set */
};

/* At registration. */
void recur_init(struct recur *, const struct recur_rule *);

/* What the clock shows. */
double recur_now(const struct recur *);

/* Slots of the class, ready to use. */
int recur_start(struct watcher *, struct error *);
void recur_stop(struct watcher *);
void recur_on_time(struct watcher *);
int recur_reset(struct watcher *, struct error *);
void recur_catch_up(struct watcher *);
void recur_rearm(struct watcher *);
void recur_put_event(const struct watcher *, struct buffer *);
void recur_put_next(const struct watcher *, struct buffer *, int n);
void recur_forget(struct watcher *);

/* For put_state: "jumps" and "at", where they are so. */
void recur_put_state(const struct recur *, struct buffer *);

#endif
