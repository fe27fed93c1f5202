#include "config.h"

#include "wallclock.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "log.h"

/* A step below this is how far two readings of two clocks lie apart. */
#define JUMP_MIN_S	 1e-4
#define MEASUREMENTS_MAX 5
/* A measurement that took no longer than this is good enough. */
#define MEASUREMENT_S 5e-6
#define FAR_OFF_S     1e10

static double
clock_read(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) < 0)
		fatal("clock_gettime: %s", strerror(errno));
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* CLOCK_REALTIME - CLOCK_MONOTONIC: the closest pair of a few readings. */
static double
wallclock_measure(void)
{
	double offset = 0, best = INFINITY;

	for (int i = 0; i < MEASUREMENTS_MAX && best > MEASUREMENT_S; i++) {
		double before = clock_read(CLOCK_MONOTONIC);
		double real = clock_read(CLOCK_REALTIME);
		double took = clock_read(CLOCK_MONOTONIC) - before;

		if (took < best) {
			best = took;
			offset = real - (before + took / 2);
		}
	}
	return offset;
}

/*
 * Our reading comes before libev's: a timer that is to be at T is started
 * with T minus our reading, and libev, counting from its own, is then never
 * early.
 */
void
wallclock_update(struct wallclock *clock)
{
	clock->monotonic = clock_read(CLOCK_MONOTONIC);
	ev_now_update(clock->loop);
}

static void
wallclock_handle_jump(struct wallclock *clock)
{
	double before = wallclock_now(clock);
	double offset, step;

	clock->suspect = false;
	offset = wallclock_measure();
	step = offset - clock->offset;
	if (fabs(step) < JUMP_MIN_S) {
		clock->offset = offset;
		return;
	}
	log_notice("the wall clock was set, by %+.6f s", step);
	clock->offset = offset;
	if (clock->on_jump != NULL)
		clock->on_jump(clock, before);
}

/* libev asks for the next time when it has seen the clock jump. */
static double
wallclock_on_reschedule(struct ev_periodic *far, double now)
{
	struct wallclock *clock = far->data;

	clock->suspect = true;
	return now + FAR_OFF_S;
}

static void
wallclock_on_far(struct ev_loop *loop, struct ev_periodic *far, int revents)
{
	(void)loop;
	(void)far;
	(void)revents;
}

static void
wallclock_on_check(struct ev_loop *loop, struct ev_check *check, int revents)
{
	struct wallclock *clock = check->data;

	(void)loop;
	(void)revents;
	wallclock_update(clock);
	if (clock->suspect)
		wallclock_handle_jump(clock);
}

/* libev's timerfd is read after our check: don't sleep on old alarms. */
static void
wallclock_on_prepare(struct ev_loop *loop, struct ev_prepare *prepare,
    int revents)
{
	struct wallclock *clock = prepare->data;

	(void)loop;
	(void)revents;
	if (clock->suspect)
		wallclock_handle_jump(clock);
}

void
wallclock_init(struct wallclock *clock, struct ev_loop *loop)
{
	*clock = (struct wallclock){ .loop = loop };
	clock->offset = wallclock_measure();

	ev_periodic_init(&clock->far, wallclock_on_far, 0, 0,
	    wallclock_on_reschedule);
	ev_check_init(&clock->check, wallclock_on_check);
	ev_prepare_init(&clock->prepare, wallclock_on_prepare);
	clock->far.data = clock->check.data = clock->prepare.data = clock;
	/* Before all others, which may look at the clock. */
	ev_set_priority(&clock->check, EV_MAXPRI);
	ev_set_priority(&clock->prepare, EV_MAXPRI);
	ev_periodic_start(loop, &clock->far);
	ev_check_start(loop, &clock->check);
	ev_prepare_start(loop, &clock->prepare);
	clock->suspect = false;
	wallclock_update(clock);
}

void
wallclock_fini(struct wallclock *clock)
{
	ev_periodic_stop(clock->loop, &clock->far);
	ev_check_stop(clock->loop, &clock->check);
	ev_prepare_stop(clock->loop, &clock->prepare);
}
