#include "config.h"

#include "session.h"

#include "bench.h"

static struct cleared cleared;
static struct error error;

/* Fires watchers, in the order of a string of their one-letter names. */
static void
fire(const char *names)
{
	for (; *names != '\0'; names++) {
		char name[] = { *names, '\0' };

		watcher_fired(bench_find(name));
	}
}

static void
assert_cleared(bool pending, int revents, uint64_t overrun)
{
	ck_assert_int_eq(cleared.pending, pending);
	if (!pending)
		return;
	ck_assert_int_eq(cleared.revents, revents);
	ck_assert_uint_eq(cleared.overrun, overrun);
}

/*
 * A level-triggered class, which counts what is asked of it; its condition
 * holds always.
 */
static struct {
	int starts, stops, rearms, forgets, finis;
} level;

static int
level_start(struct watcher *w, struct error *e)
{
	(void)w;
	(void)e;
	level.starts++;
	return 0;
}

static void
level_stop(struct watcher *w)
{
	(void)w;
	level.stops++;
}

static void
level_rearm(struct watcher *w)
{
	(void)w;
	level.rearms++;
}

static void
level_forget(struct watcher *w)
{
	(void)w;
	level.forgets++;
}

static void
level_fini(struct watcher *w)
{
	(void)w;
	level.finis++;
}

static const struct watcher_class level_class = {
	.name = { "level", 5 },
	.revents = EV_READ,
	.size = sizeof(struct watcher),
	.level = true,
	.start = level_start,
	.stop = level_stop,
	.rearm = level_rearm,
	.forget = level_forget,
	.fini = level_fini,
};

#define watch_level(name, ...)                \
	bench_watch_class(&level_class, name, \
	    (struct watch_options){ __VA_ARGS__ })

/* --- order and batches --------------------------------------------------- */

START_TEST(events_are_ordered_by_priority_then_firing)
{
	watch("a");
	watch("b", .priority = 2);
	watch("c", .priority = -2);
	watch("d");
	watch("e", .priority = 2);
	watch("f", .priority = 1);
	watch("g", .priority = -1);
	fire("dcagebf");
	expect_events("e b f d a g c");
}
END_TEST

START_TEST(what_fires_meanwhile_belongs_to_the_next_batch)
{
	watch("a");
	watch("b");
	watch("x", .priority = 2);
	fire("ab");
	ck_assert_str_eq(bench_summary_up_to(1), "a");
	fire("ax");
	expect_events("b x a");
}
END_TEST

START_TEST(nothing_starves)
{
	watch("a", .priority = -2);
	watch("x", .priority = 2);
	fire("ax");
	for (int i = 0; i < 3; i++) {
		ck_assert_str_eq(bench_summary_up_to(1), "x");
		fire("x");
		ck_assert_str_eq(bench_summary_up_to(1), "a");
		fire("a");
	}
}
END_TEST

START_TEST(events_are_written_while_there_is_room)
{
	size_t line;

	watch("a");
	watch("b");
	watch("c");
	fire("a");
	line = strlen(bench_events()) + 1;
	fire("abc");
	bench.seq = 1;
	ck_assert_str_eq(bench_summary_up_to(line + 1), "a b");
	ck_assert_str_eq(bench_summary_up_to(0), "");
	ck_assert(batch_has_ready(bench.session));
	expect_events("c");
	ck_assert(!batch_has_ready(bench.session));
}
END_TEST

START_TEST(event_says_what_the_session_knows)
{
	watch("a", .data = { "[1]", 3 });
	bench_wait(0.5);
	fire("a");
	ck_assert_str_eq(bench_events(),
	    "{'event':'async','watcher':'a','revents':524288,'seq':1,"
	    "'time':3800000000.500000,'data':[1]}");
}
END_TEST

START_TEST(seq_counts_by_session)
{
	struct session *mine = bench.session;

	watch("a");
	fire("a");
	expect_events("a");
	bench.session = bench_new_session(BENCH_UID);
	bench.seq = 0;
	watch("a");
	fire("a");
	expect_events("a");
	bench_free_session(bench.session);
	bench.session = mine;
	bench.seq = 1;
	fire("a");
	expect_events("a");
}
END_TEST

START_TEST(owner_hears_of_each_event_once)
{
	watch("a");
	watch("b");
	fire("aaa");
	ck_assert_int_eq(bench.works, 1);
	fire("b");
	ck_assert_int_eq(bench.works, 2);
	expect_events("a+2 b");
	ck_assert_int_eq(bench.works, 2);
}
END_TEST

START_TEST(last_batch_is_the_one_that_ends_what_is_ready)
{
	struct session *s = bench.session;
	uint64_t number;

	watch("a");
	watch("b");
	number = batch_last(s);
	ck_assert(batch_is_written(s, number));
	fire("ab");
	number = batch_last(s);
	ck_assert(!batch_is_written(s, number));
	ck_assert_str_eq(bench_summary_up_to(1), "a");
	ck_assert(!batch_is_written(s, number));
	fire("a");
	ck_assert_str_eq(bench_summary_up_to(1), "b");
	ck_assert(batch_is_written(s, number));
	expect_events("a");
	ck_assert(batch_is_written(s, batch_last(s)));
}
END_TEST

START_TEST(last_batch_counts_what_fired_meanwhile)
{
	struct session *s = bench.session;
	uint64_t number;

	watch("a");
	watch("b");
	fire("ab");
	ck_assert_str_eq(bench_summary_up_to(1), "a");
	fire("a");
	number = batch_last(s);
	ck_assert_str_eq(bench_summary_up_to(1), "b");
	ck_assert(!batch_is_written(s, number));
	expect_events("a");
	ck_assert(batch_is_written(s, number));
}
END_TEST

/* A batch that is taken back as a whole can't be waited for. */
START_TEST(batch_that_was_taken_back_counts_as_written)
{
	struct session *s = bench.session;
	uint64_t number;

	watch("a");
	fire("a");
	number = batch_last(s);
	watcher_clear(bench_find("a"), &cleared);
	ck_assert(batch_is_written(s, number));
}
END_TEST

/* --- merging ------------------------------------------------------------- */

START_TEST(firings_merge_until_the_event_is_written)
{
	watch("a");
	fire("aaa");
	expect_events("a+2");
	fire("a");
	expect_events("a");
}
END_TEST

START_TEST(merged_event_has_the_first_time_and_all_revents)
{
	watch("a");
	watcher_feed(bench_find("a"), 1);
	bench_run(2);
	watcher_feed(bench_find("a"), 6);
	watcher_feed(bench_find("a"), 1);
	ck_assert_str_eq(bench_events(),
	    "{'event':'async','watcher':'a','revents':7,'seq':1,"
	    "'time':3800000000.000000,'overrun':2}");
	watcher_feed(bench_find("a"), 8);
	ck_assert_str_eq(bench_events(),
	    "{'event':'async','watcher':'a','revents':8,'seq':2,"
	    "'time':3800000002.000000}");
}
END_TEST

START_TEST(merging_keeps_the_place)
{
	watch("a");
	watch("b");
	fire("aba");
	expect_events("a+1 b");
}
END_TEST

START_TEST(fed_event_of_an_inactive_watcher)
{
	watch("a");
	watcher_stop(bench_find("a"), &cleared);
	watcher_feed(bench_find("a"), 0);
	expect_events("a.");
}
END_TEST

/* --- taking back --------------------------------------------------------- */

START_TEST(stop_takes_the_event_back)
{
	watch("a");
	watch("b");
	fire("aab");
	watcher_stop(bench_find("a"), &cleared);
	assert_cleared(true, EV_ASYNC, 1);
	ck_assert(!bench_find("a")->active);
	expect_events("b");
	watcher_stop(bench_find("a"), &cleared);
	assert_cleared(false, 0, 0);
}
END_TEST

START_TEST(clear_takes_the_event_back_and_goes_on)
{
	watch("a");
	fire("a");
	watcher_clear(bench_find("a"), &cleared);
	assert_cleared(true, EV_ASYNC, 0);
	expect_events("");
	watcher_clear(bench_find("a"), &cleared);
	assert_cleared(false, 0, 0);
	fire("a");
	expect_events("a");
}
END_TEST

START_TEST(clear_out_of_the_batch_that_is_being_written)
{
	watch("a");
	watch("b");
	watch("c");
	fire("abc");
	ck_assert_str_eq(bench_summary_up_to(1), "a");
	watcher_clear(bench_find("b"), &cleared);
	assert_cleared(true, EV_ASYNC, 0);
	expect_events("c");
}
END_TEST

START_TEST(unwatch_takes_back_and_forgets)
{
	watch("a");
	fire("a");
	session_unwatch(bench.session, bench_find("a"), &cleared);
	assert_cleared(true, EV_ASYNC, 0);
	ck_assert_ptr_null(bench_find("a"));
	expect_events("");
}
END_TEST

START_TEST(start_takes_back_what_was_fed_before)
{
	watch("a");
	watcher_stop(bench_find("a"), &cleared);
	watcher_feed(bench_find("a"), 5);
	ck_assert_int_eq(watcher_start(bench_find("a"), &cleared, &error), 0);
	assert_cleared(true, 5, 0);
	expect_events("");
	ck_assert(bench_find("a")->active);
}
END_TEST

START_TEST(start_of_an_active_watcher_does_nothing)
{
	watch("a");
	fire("a");
	ck_assert_int_eq(watcher_start(bench_find("a"), &cleared, &error), 0);
	assert_cleared(false, 0, 0);
	ck_assert_uint_eq(bench.session->host.n_active, 1);
	expect_events("a");
}
END_TEST

/* --- once, release, end -------------------------------------------------- */

START_TEST(once_stops_at_the_first_firing)
{
	watch("a", .once = true);
	fire("a");
	ck_assert(!bench_find("a")->active);
	expect_events("a.");
	watcher_start(bench_find("a"), &cleared, &error);
	watcher_feed(bench_find("a"), 1);
	ck_assert(bench_find("a")->active);
	expect_events("a");
}
END_TEST

START_TEST(release_forgets_when_the_event_is_written)
{
	watch("a", .once = true, .release = true);
	fire("a");
	ck_assert_ptr_nonnull(bench_find("a"));
	expect_events("a.");
	ck_assert_ptr_null(bench_find("a"));
	ck_assert_ptr_nonnull(watch("a"));
}
END_TEST

START_TEST(release_is_for_its_own_event_alone)
{
	watch("a", .once = true, .release = true);
	watcher_stop(bench_find("a"), &cleared);
	watcher_feed(bench_find("a"), 1);
	expect_events("a.");
	ck_assert_ptr_nonnull(bench_find("a"));
}
END_TEST

START_TEST(event_that_is_taken_back_releases_nothing)
{
	watch("a", .once = true, .release = true);
	fire("a");
	watcher_clear(bench_find("a"), &cleared);
	assert_cleared(true, EV_ASYNC, 0);
	expect_events("");
	watcher_feed(bench_find("a"), 1);
	expect_events("a.");
	ck_assert_ptr_nonnull(bench_find("a"));
}
END_TEST

START_TEST(end_comes_after_the_whole_batch)
{
	watch("a", .end = true, .priority = 1);
	watch("b");
	fire("ab");
	ck_assert_str_eq(bench_summary_up_to(1), "a");
	ck_assert(!bench.session->finished);
	fire("a");
	expect_events("b");
	ck_assert(bench.session->finished);
	expect_events("");
}
END_TEST

/* --- held ---------------------------------------------------------------- */

START_TEST(held_until_ack)
{
	watch("a", .hold = true);
	fire("a");
	expect_events("a");
	ck_assert(watcher_is_held(bench_find("a")));
	fire("aaa");
	ck_assert(!batch_has_ready(bench.session));
	expect_events("");
	ck_assert_uint_eq(session_ack(bench.session, 1, 10), 1);
	expect_events("a+2");
}
END_TEST

START_TEST(ack_before_the_event_is_written_frees_nothing)
{
	watch("a", .hold = true);
	fire("a");
	ck_assert_uint_eq(session_ack(bench.session, 0, 10), 0);
	ck_assert(!session_ack_watcher(bench.session, bench_find("a")));
	expect_events("a");
	ck_assert(session_ack_watcher(bench.session, bench_find("a")));
	ck_assert(!session_ack_watcher(bench.session, bench_find("a")));
}
END_TEST

START_TEST(ack_is_cumulative_and_bounded)
{
	for (const char *name = "a\0b\0c\0d\0e\0"; *name != '\0'; name += 2)
		watch(name, .hold = true);
	fire("abcde");
	expect_events("a b c d e");
	ck_assert_uint_eq(session_ack(bench.session, 3, 2), 2);
	ck_assert(watcher_is_held(bench_find("c")));
	ck_assert_uint_eq(session_ack(bench.session, 3, 2), 1);
	ck_assert_uint_eq(session_ack(bench.session, 3, 2), 0);
	ck_assert(watcher_is_held(bench_find("d")));
	fire("aded");
	expect_events("a");
	ck_assert_uint_eq(session_ack(bench.session, 5, 10), 2);
	expect_events("d+1 e");
}
END_TEST

START_TEST(freed_event_stands_behind_what_fired_before)
{
	watch("a", .hold = true);
	watch("b");
	fire("a");
	expect_events("a");
	fire("ab");
	session_ack(bench.session, 1, 10);
	expect_events("b a");
}
END_TEST

START_TEST(stop_ends_a_hold)
{
	watch("a", .hold = true);
	fire("a");
	expect_events("a");
	fire("a");
	watcher_stop(bench_find("a"), &cleared);
	assert_cleared(true, EV_ASYNC, 0);
	ck_assert(!watcher_is_held(bench_find("a")));
	watcher_start(bench_find("a"), &cleared, &error);
	fire("a");
	expect_events("a");
}
END_TEST

START_TEST(clear_ends_a_hold_where_it_took_something)
{
	watch("a", .hold = true);
	fire("a");
	expect_events("a");
	watcher_clear(bench_find("a"), &cleared);
	assert_cleared(false, 0, 0);
	ck_assert(watcher_is_held(bench_find("a")));
	fire("a");
	watcher_clear(bench_find("a"), &cleared);
	assert_cleared(true, EV_ASYNC, 0);
	ck_assert(!watcher_is_held(bench_find("a")));
}
END_TEST

START_TEST(held_watcher_is_unwatched)
{
	watch("a", .hold = true);
	fire("a");
	expect_events("a");
	fire("a");
	session_unwatch(bench.session, bench_find("a"), &cleared);
	assert_cleared(true, EV_ASYNC, 0);
	ck_assert_uint_eq(session_ack(bench.session, 9, 10), 0);
}
END_TEST

START_TEST(released_watcher_is_not_held)
{
	watch("a", .hold = true, .once = true, .release = true);
	fire("a");
	expect_events("a.");
	ck_assert_ptr_null(bench_find("a"));
	ck_assert(TAILQ_EMPTY(&bench.session->held));
}
END_TEST

START_TEST(level_watcher_rests_while_it_is_held)
{
	watch_level("a");
	ck_assert(bench_find("a")->hold);
	fire("a");
	expect_events("a");
	ck_assert_int_eq(level.rearms, 0);
	ck_assert_int_eq(level.forgets, 1);
	session_ack(bench.session, 1, 10);
	ck_assert_int_eq(level.rearms, 1);
}
END_TEST

START_TEST(level_watcher_goes_on_when_its_event_is_cleared)
{
	watch_level("a");
	fire("a");
	watcher_clear(bench_find("a"), &cleared);
	ck_assert_int_eq(level.rearms, 1);
	fire("a");
	watcher_stop(bench_find("a"), &cleared);
	ck_assert_int_eq(level.rearms, 1);
	ck_assert_int_eq(level.stops, 1);
	session_unwatch(bench.session, bench_find("a"), &cleared);
	ck_assert_int_eq(level.stops, 1);
	ck_assert_int_eq(level.finis, 1);
}
END_TEST

START_TEST(other_held_watchers_go_on)
{
	static struct watcher_class edge_class;

	edge_class = level_class;
	edge_class.level = false;
	bench_watch_class(&edge_class, "a",
	    (struct watch_options){ .hold = true });
	fire("a");
	expect_events("a");
	ck_assert_int_eq(level.rearms, 1);
	session_ack(bench.session, 1, 10);
	ck_assert_int_eq(level.rearms, 1);
}
END_TEST

/* --- the end of the input ------------------------------------------------ */

START_TEST(end_of_input_ends_every_hold)
{
	watch("a", .hold = true);
	watch("b", .hold = true);
	fire("ab");
	expect_events("a b");
	fire("aa");
	session_end_input(bench.session);
	ck_assert(session_drop_holds(bench.session, 10));
	expect_events("a+1");
	fire("ab");
	expect_events("a b");
	ck_assert(TAILQ_EMPTY(&bench.session->held));
}
END_TEST

START_TEST(holds_are_dropped_some_at_a_time)
{
	watch("a", .hold = true);
	watch("b", .hold = true);
	watch("c", .hold = true);
	fire("abc");
	expect_events("a b c");
	fire("cba");
	session_end_input(bench.session);
	ck_assert(!session_drop_holds(bench.session, 2));
	expect_events("a b");
	ck_assert(session_drop_holds(bench.session, 2));
	expect_events("c");
}
END_TEST

START_TEST(level_watchers_stop_when_the_input_has_ended)
{
	watch_level("a");
	watch_level("b");
	fire("a");
	expect_events("a");
	session_end_input(bench.session);
	session_drop_holds(bench.session, 10);
	ck_assert(!bench_find("a")->active);
	fire("b");
	expect_events("b.");
	ck_assert(batch_was_last(bench.session));
}
END_TEST

START_TEST(hold_that_is_dropped_releases)
{
	watch_level("a", .release = true);
	fire("a");
	expect_events("a");
	session_end_input(bench.session);
	ck_assert(session_drop_holds(bench.session, 10));
	ck_assert_ptr_null(bench_find("a"));
}
END_TEST

START_TEST(over_when_nothing_is_left)
{
	ck_assert(!batch_was_last(bench.session));
	session_end_input(bench.session);
	ck_assert(batch_was_last(bench.session));
}
END_TEST

START_TEST(not_over_while_a_watcher_is_active)
{
	watch("a");
	session_end_input(bench.session);
	ck_assert(!batch_was_last(bench.session));
	watcher_stop(bench_find("a"), &cleared);
	ck_assert(batch_was_last(bench.session));
}
END_TEST

START_TEST(not_over_while_an_event_is_pending)
{
	watch("a", .once = true);
	fire("a");
	session_end_input(bench.session);
	ck_assert(!batch_was_last(bench.session));
	expect_events("a.");
	ck_assert(batch_was_last(bench.session));
}
END_TEST

START_TEST(not_over_while_a_hold_is_to_be_dropped)
{
	watch("a", .hold = true, .once = true);
	fire("a");
	expect_events("a.");
	session_end_input(bench.session);
	ck_assert(!batch_was_last(bench.session));
	session_drop_holds(bench.session, 10);
	ck_assert(batch_was_last(bench.session));
}
END_TEST

/* --- life ---------------------------------------------------------------- */

#define SLICE(s) ((struct slice){ (s), strlen(s) })

static struct session *
find_session(uid_t uid, const char *name)
{
	return session_find(&bench.registry, uid, SLICE(name), &error);
}

START_TEST(sessions_are_found_by_number_and_uid)
{
	struct session *other = bench_new_session(BENCH_UID);

	ck_assert_ptr_eq(find_session(BENCH_UID, "#1"), bench.session);
	ck_assert_ptr_eq(find_session(BENCH_UID, "#2"), other);
	ck_assert_ptr_null(find_session(BENCH_UID + 1, "#1"));
	ck_assert_int_eq(error.code, ERROR_NO_SUCH_SESSION);
	ck_assert_ptr_null(find_session(BENCH_UID, "#"));
	bench_free_session(other);
	ck_assert_ptr_null(find_session(BENCH_UID, "#2"));
	other = bench_new_session(BENCH_UID);
	ck_assert_str_eq(other->id.name, "#3");
	bench_free_session(other);
}
END_TEST

START_TEST(session_takes_one_name)
{
	ck_assert_int_eq(session_rename(bench.session, SLICE("me"), &error), 0);
	ck_assert_ptr_eq(find_session(BENCH_UID, "me"), bench.session);
	ck_assert_ptr_null(find_session(BENCH_UID, "#1"));
	ck_assert_int_eq(session_rename(bench.session, SLICE("you"), &error),
	    -1);
	ck_assert_int_eq(error.code, ERROR_SESSION_EXISTS);
	ck_assert_str_eq(bench.session->id.name, "me");
}
END_TEST

START_TEST(session_names_are_unique_in_a_uid)
{
	struct session *same = bench_new_session(BENCH_UID);
	struct session *foreign = bench_new_session(BENCH_UID + 1);

	session_rename(bench.session, SLICE("me"), &error);
	ck_assert_int_eq(session_rename(same, SLICE("me"), &error), -1);
	ck_assert_int_eq(error.code, ERROR_SESSION_EXISTS);
	ck_assert_int_eq(session_rename(foreign, SLICE("me"), &error), 0);
	ck_assert_ptr_eq(find_session(BENCH_UID, "me"), bench.session);
	ck_assert_ptr_eq(find_session(BENCH_UID + 1, "me"), foreign);
	bench_free_session(foreign);
	bench_free_session(same);
}
END_TEST

START_TEST(ended_session_is_silent_and_frees_some_at_a_time)
{
	struct session *s = bench_new_session(BENCH_UID);
	struct session *mine = bench.session;
	struct watcher *a, *b;
	size_t budget = 2;

	bench.session = s;
	session_rename(s, SLICE("me"), &error);
	a = watch("a");
	watch("c", .hold = true);
	b = watch("b", .hold = true);
	fire("cb");
	bench_summary();
	session_end(s);
	bench.session = mine;
	bench.works = 0;
	watcher_fired(a);
	watcher_fired(b);
	ck_assert_int_eq(bench.works, 0);
	ck_assert_int_eq(session_rename(mine, SLICE("me"), &error), 0);
	ck_assert(!session_free_some(s, &budget));
	ck_assert_uint_eq(budget, 0);
	budget = 2;
	ck_assert(session_free_some(s, &budget));
	ck_assert_uint_eq(budget, 1);
}
END_TEST

/* --- names and limits of watchers ---------------------------------------- */

START_TEST(watcher_names_are_taken_once)
{
	expect("{'cmd':'watch','type':'async','watcher':'5'}", DONE);
	expect("{'cmd':'watch','type':'async','watcher':5}", DONE);
	ck_assert_ptr_null(watch("5"));
	session_unwatch(bench.session, bench_find("5"), &cleared);
	ck_assert_ptr_null(bench_find("5"));
	ck_assert_ptr_nonnull(watch("5"));
}
END_TEST

START_TEST(watchers_are_charged_and_refused)
{
	bench.limits.session[LIMIT_WATCHERS] = 2;
	ck_assert_ptr_nonnull(watch("a"));
	ck_assert_ptr_nonnull(watch("b"));
	ck_assert_ptr_null(watch("c"));
	ck_assert_ptr_null(bench_find("c"));
	session_unwatch(bench.session, bench_find("a"), &cleared);
	ck_assert_ptr_nonnull(watch("c"));
}
END_TEST

START_TEST(names_and_data_are_charged)
{
	struct account *account = &bench.session->account;
	struct slice data = SLICE("[1,2,3]");

	watch("abc", .data = data);
	ck_assert_uint_eq(account->used[LIMIT_BYTES], 5 + 7);
	bench.limits.session[LIMIT_BYTES] = 20;
	ck_assert_ptr_null(watch("d", .data = data));
	ck_assert_uint_eq(account->used[LIMIT_WATCHERS], 1);
	ck_assert_ptr_nonnull(watch("d", .data = { "12345", 5 }));
	ck_assert_int_eq(session_charge_data(bench.session, 0, 7, &error), -1);
	session_unwatch(bench.session, bench_find("abc"), &cleared);
	ck_assert_uint_eq(account->used[LIMIT_BYTES], 3 + 5);
}
END_TEST

START_TEST(new_data_is_charged_in_place_of_the_old)
{
	struct account *account = &bench.session->account;

	bench.limits.session[LIMIT_BYTES] = 20;
	watch("a", .data = { "12345", 5 });
	expect("{'cmd':'set','watcher':'a','data':'123'}", DONE);
	ck_assert_uint_eq(account->used[LIMIT_BYTES], 3 + 5);
	bench_say("{'cmd':'set','watcher':'a','data':'12345678901234567'}");
	ck_assert_uint_eq(account->used[LIMIT_BYTES], 3 + 5);
	ck_assert(slice_is(watcher_data(bench_find("a")), "\"123\""));
}
END_TEST

static int
fail_start(struct watcher *w, struct error *e)
{
	(void)w;
	return error_set(e, ERROR_NOT_SUPPORTED, "no");
}

START_TEST(watcher_that_does_not_start_leaves_nothing)
{
	static struct watcher_class class;
	static const struct watch_options none;

	class = level_class;
	class.start = fail_start;
	ck_assert_ptr_null(bench_watch_class(&class, "a", none));
	ck_assert_ptr_null(bench_find("a"));
	ck_assert_int_eq(level.finis, 1);
	ck_assert_int_eq(level.stops, 0);
	ck_assert_uint_eq(bench.session->account.used[LIMIT_WATCHERS], 0);
	ck_assert_uint_eq(bench.session->account.used[LIMIT_BYTES], 0);
	ck_assert_uint_eq(bench.session->host.n_active, 0);
}
END_TEST

/* --- commands that take a while ------------------------------------------ */

START_TEST(poll_waits_for_an_iteration_and_the_batch)
{
	watch("a");
	watch("b");
	expect("{'cmd':'poll','id':1}", "");
	ck_assert_str_eq(bench_resume(), "");
	bench_run(0);
	fire("ab");
	ck_assert_str_eq(bench_resume(), "");
	ck_assert_str_eq(bench_summary_up_to(1), "a");
	fire("a");
	ck_assert_str_eq(bench_resume(), "");
	ck_assert_str_eq(bench_summary_up_to(1), "b");
	ck_assert_str_eq(bench_resume(), "{'id':1,'result':{'seq':2}}");
	expect_events("a");
}
END_TEST

START_TEST(silent_poll_waits_as_well)
{
	watch("a");
	expect("{'cmd':'poll','reply':false}", "");
	fire("a");
	bench_run(0);
	ck_assert_str_eq(bench_resume(), "");
	ck_assert_ptr_nonnull(bench.deferred);
	expect_events("a");
	ck_assert_str_eq(bench_resume(), "");
	ck_assert_ptr_null(bench.deferred);
}
END_TEST

START_TEST(ack_of_very_many_takes_several_iterations)
{
	char name[16];

	for (int i = 0; i < 2500; i++) {
		snprintf(name, sizeof(name), "%d", i);
		watcher_fired(watch(name, .hold = true));
	}
	bench_events();
	expect("{'cmd':'ack','seq':2400}", "");
	ck_assert(watcher_is_held(bench_find("1500")));
	ck_assert_str_eq(bench_resume(), "");
	ck_assert_str_eq(bench_resume(), "{'result':{'freed':2400}}");
	ck_assert(!watcher_is_held(bench_find("2399")));
	ck_assert(watcher_is_held(bench_find("2400")));
}
END_TEST

/* --- many, at random ----------------------------------------------------- */

/*
 * The law of events, for each watcher: firings are events written, their
 * overruns, and what was taken back.
 */
START_TEST(no_firing_is_lost_or_made_up)
{
	uint64_t fired = 0, seen = 0;
	char name[2] = "";

	for (int i = 0; i < 20; i++) {
		name[0] = (char)('a' + i);
		watch(name, .priority = i % 5 - 2, .hold = i % 3 == 0);
	}
	for (int i = 0; i < 20000; i++) {
		struct watcher *w;

		name[0] = (char)('a' + unit_below(20));
		w = bench_find(name);
		switch (unit_below(8)) {
		case 0:
			bench_summary_up_to(unit_below(300));
			break;
		case 1:
			session_ack(bench.session,
			    unit_below(bench.session->seq + 1), 3);
			break;
		case 2:
			watcher_clear(w, &cleared);
			seen += cleared.pending ? 1 + cleared.overrun : 0;
			break;
		case 3:
			watcher_stop(w, &cleared);
			seen += cleared.pending ? 1 + cleared.overrun : 0;
			watcher_start(w, &cleared, &error);
			break;
		default:
			watcher_fired(w);
			fired++;
		}
	}
	session_ack(bench.session, bench.session->seq, SIZE_MAX);
	bench_summary();
	seen += bench.ticks;
	ck_assert_uint_eq(fired, seen);
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("session", bench_setup, bench_teardown);

	tcase_add_test(cases, events_are_ordered_by_priority_then_firing);
	tcase_add_test(cases, what_fires_meanwhile_belongs_to_the_next_batch);
	tcase_add_test(cases, nothing_starves);
	tcase_add_test(cases, events_are_written_while_there_is_room);
	tcase_add_test(cases, event_says_what_the_session_knows);
	tcase_add_test(cases, seq_counts_by_session);
	tcase_add_test(cases, owner_hears_of_each_event_once);
	tcase_add_test(cases, last_batch_is_the_one_that_ends_what_is_ready);
	tcase_add_test(cases, last_batch_counts_what_fired_meanwhile);
	tcase_add_test(cases, batch_that_was_taken_back_counts_as_written);
	tcase_add_test(cases, firings_merge_until_the_event_is_written);
	tcase_add_test(cases, merged_event_has_the_first_time_and_all_revents);
	tcase_add_test(cases, merging_keeps_the_place);
	tcase_add_test(cases, fed_event_of_an_inactive_watcher);
	tcase_add_test(cases, stop_takes_the_event_back);
	tcase_add_test(cases, clear_takes_the_event_back_and_goes_on);
	tcase_add_test(cases, clear_out_of_the_batch_that_is_being_written);
	tcase_add_test(cases, unwatch_takes_back_and_forgets);
	tcase_add_test(cases, start_takes_back_what_was_fed_before);
	tcase_add_test(cases, start_of_an_active_watcher_does_nothing);
	tcase_add_test(cases, once_stops_at_the_first_firing);
	tcase_add_test(cases, release_forgets_when_the_event_is_written);
	tcase_add_test(cases, release_is_for_its_own_event_alone);
	tcase_add_test(cases, event_that_is_taken_back_releases_nothing);
	tcase_add_test(cases, end_comes_after_the_whole_batch);
	tcase_add_test(cases, held_until_ack);
	tcase_add_test(cases, ack_before_the_event_is_written_frees_nothing);
	tcase_add_test(cases, ack_is_cumulative_and_bounded);
	tcase_add_test(cases, freed_event_stands_behind_what_fired_before);
	tcase_add_test(cases, stop_ends_a_hold);
	tcase_add_test(cases, clear_ends_a_hold_where_it_took_something);
	tcase_add_test(cases, held_watcher_is_unwatched);
	tcase_add_test(cases, released_watcher_is_not_held);
	tcase_add_test(cases, level_watcher_rests_while_it_is_held);
	tcase_add_test(cases, level_watcher_goes_on_when_its_event_is_cleared);
	tcase_add_test(cases, other_held_watchers_go_on);
	tcase_add_test(cases, end_of_input_ends_every_hold);
	tcase_add_test(cases, holds_are_dropped_some_at_a_time);
	tcase_add_test(cases, level_watchers_stop_when_the_input_has_ended);
	tcase_add_test(cases, hold_that_is_dropped_releases);
	tcase_add_test(cases, over_when_nothing_is_left);
	tcase_add_test(cases, not_over_while_a_watcher_is_active);
	tcase_add_test(cases, not_over_while_an_event_is_pending);
	tcase_add_test(cases, not_over_while_a_hold_is_to_be_dropped);
	tcase_add_test(cases, sessions_are_found_by_number_and_uid);
	tcase_add_test(cases, session_takes_one_name);
	tcase_add_test(cases, session_names_are_unique_in_a_uid);
	tcase_add_test(cases, ended_session_is_silent_and_frees_some_at_a_time);
	tcase_add_test(cases, watcher_names_are_taken_once);
	tcase_add_test(cases, watchers_are_charged_and_refused);
	tcase_add_test(cases, names_and_data_are_charged);
	tcase_add_test(cases, new_data_is_charged_in_place_of_the_old);
	tcase_add_test(cases, watcher_that_does_not_start_leaves_nothing);
	tcase_add_test(cases, poll_waits_for_an_iteration_and_the_batch);
	tcase_add_test(cases, silent_poll_waits_as_well);
	tcase_add_test(cases, ack_of_very_many_takes_several_iterations);
	tcase_add_test(cases, no_firing_is_lost_or_made_up);
	return unit_run(cases);
}
