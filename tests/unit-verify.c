#include "config.h"

#include "verify.h"

#include <signal.h>

#include "bench.h"

/* Breaks a session in every way that verify is to find. */

static struct session *s;
static struct watcher *held, *ready, *waiting, *plain;

/* One of each: held, ready, waiting, and in no queue. */
static void
setup(void)
{
	bench_setup();
	s = bench.session;
	expect("{'cmd':'watch','type':'check','watcher':'w'}", DONE);
	expect("{'cmd':'watch','type':'check','watcher':'w2'}", DONE);
	held = watch("held", .hold = true);
	watcher_fired(held);
	watcher_fired(watch("h2", .hold = true));
	bench_events();
	ready = watch("ready");
	watcher_fired(ready);
	watcher_fired(watch("r2"));
	plain = watch("plain");
	waiting = bench_find("w");
	log_set_level(LEVEL_ERROR);
}

static void
verify(void)
{
	bench_verify(s);
}

START_TEST(nothing_is_wrong)
{
	verify();
	ck_assert(watcher_is_held(held));
	ck_assert_int_eq(waiting->queue, QUEUE_CHECK);
	ck_assert(ready->pending && !watcher_is_held(ready));
}
END_TEST

START_TEST(some_at_a_time)
{
	verify_begin(s);
	ck_assert(!verify_some(s, 3));
	ck_assert(!verify_some(s, 3));
	ck_assert(verify_some(s, 1));
}
END_TEST

START_TEST(no_watcher_at_all)
{
	struct session *other = bench_new_session(BENCH_UID);

	bench_verify(other);
	bench_free_session(other);
}
END_TEST

START_TEST(bears_what_comes_and_goes_meanwhile)
{
	struct cleared cleared;

	verify_begin(s);
	ck_assert(!verify_some(s, 2));
	bench_events();
	session_unwatch(s, s->census.next, &cleared);
	session_unwatch(s, plain, &cleared);
	watch("new");
	ck_assert(!verify_some(s, 3));
	ck_assert(verify_some(s, 3));
}
END_TEST

/* The faults; each is found. */

static void
break_n_active(void)
{
	s->host.n_active++;
}

static void
break_n_held(void)
{
	s->n_held--;
}

static void
break_held_empty(void)
{
	s->n_held = 0;
}

static void
break_set(void)
{
	s->sets[ready->queue].n++;
}

static void
break_set_empty(void)
{
	s->sets[QUEUE_IDLE].n++;
}

static void
break_batch(void)
{
	s->batch = QUEUE_CHECK;
}

static void
break_account(void)
{
	s->account.used[LIMIT_WATCHERS]++;
}

static void
break_name(void)
{
	s->id.name[0] = 'x';
}

static void
break_watcher_name(void)
{
	*(char *)watcher_name(plain).p = 'x';
}

static void
break_names(void)
{
	table_remove(&s->names, &plain->node);
}

static void
break_list(void)
{
	TAILQ_REMOVE(&s->watchers, plain, entry);
}

static void
break_link(void)
{
	*plain->entry.tqe_prev = held;
}

static void
break_host(void)
{
	plain->host = NULL;
}

static void
break_priority(void)
{
	plain->priority = 3;
}

static void
break_pending(void)
{
	plain->pending = true;
}

static void
break_ready(void)
{
	ready->pending = false;
}

static void
break_overrun(void)
{
	plain->overrun = 1;
}

static void
break_spent(void)
{
	plain->spent = true;
}

static void
break_waiting(void)
{
	waiting->active = false;
}

static void
break_waiting_since(void)
{
	waiting->seq = s->batches + 1;
}

static void
break_waiting_order(void)
{
	ck_assert_ptr_nonnull(TAILQ_NEXT(waiting, queued));
	TAILQ_NEXT(waiting, queued)->seq--;
}

static void
break_not_waiting(void)
{
	TAILQ_REMOVE(&s->sets[QUEUE_CHECK].queues[PRIORITY_MAX], waiting,
	    queued);
	waiting->queue = QUEUE_NONE;
}

static void
break_held(void)
{
	held->hold = false;
}

static void
break_held_seq(void)
{
	held->seq = s->seq + 1;
}

static void
break_held_order(void)
{
	held->seq = TAILQ_NEXT(held, queued)->seq;
}

static void
break_queue(void)
{
	plain->queue = QUEUE_HELD + 1;
}

static void
break_queue_link(void)
{
	*ready->queued.tqe_prev = held;
}

static void
break_gather(void)
{
	s->gather.n[GATHER_IO]++;
}

static void
break_suspended(void)
{
	s->host.timeline.suspended = true;
}

/* The deadlines of two timers: the first is the earlier one. */
static struct deadline *
watch_timers(void)
{
	expect("{'cmd':'watch','type':'timer','watcher':'t1','after':1}", DONE);
	expect("{'cmd':'watch','type':'timer','watcher':'t2','after':2}", DONE);
	return (struct deadline *)(bench_find("t1") + 1);
}

static void
break_deadline_place(void)
{
	watch_timers()->place++;
}

static void
break_deadline_order(void)
{
	struct deadline *d = watch_timers();

	s->host.timeline.deadlines.pieces[0][d->place].at = 1e9;
}

static void
break_deadline_active(void)
{
	watch_timers();
	bench_find("t1")->active = false;
	s->host.n_active--;
}

static void (*const faults[])(void) = {
	break_n_active,
	break_n_held,
	break_held_empty,
	break_set,
	break_set_empty,
	break_batch,
	break_account,
	break_name,
	break_watcher_name,
	break_names,
	break_list,
	break_link,
	break_host,
	break_priority,
	break_pending,
	break_ready,
	break_overrun,
	break_spent,
	break_waiting,
	break_waiting_since,
	break_waiting_order,
	break_not_waiting,
	break_held,
	break_held_seq,
	break_held_order,
	break_queue,
	break_queue_link,
	break_gather,
	break_suspended,
	break_deadline_place,
	break_deadline_order,
	break_deadline_active,
};

START_TEST(fault_is_found)
{
	log_set_level(LEVEL_ERROR);
	faults[_i]();
	verify();
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("verify", setup, bench_teardown);

	tcase_add_test(cases, nothing_is_wrong);
	tcase_add_test(cases, some_at_a_time);
	tcase_add_test(cases, no_watcher_at_all);
	tcase_add_test(cases, bears_what_comes_and_goes_meanwhile);
	tcase_add_loop_test_raise_signal(cases, fault_is_found, SIGABRT, 0,
	    sizeof(faults) / sizeof(faults[0]));
	return unit_run(cases);
}
