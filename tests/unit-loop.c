#include "config.h"

#include "session.h"

#include "bench.h"

/* The session as a loop: what fires when its batches begin and end. */

static struct cleared cleared;
static struct error error;

static struct watcher *
watch_type(const char *type, const char *name, struct watch_options options)
{
	return bench_watch_class(
	    watcher_class_find((struct slice){ type, strlen(type) }), name,
	    options);
}

#define idle(name, ...) \
	watch_type("idle", name, (struct watch_options){ __VA_ARGS__ })
#define check(name, ...) \
	watch_type("check", name, (struct watch_options){ __VA_ARGS__ })
#define prepare(name, ...) \
	watch_type("prepare", name, (struct watch_options){ __VA_ARGS__ })
#define forks(name, ...) \
	watch_type("fork", name, (struct watch_options){ __VA_ARGS__ })

static void
fire(const char *name)
{
	watcher_fired(bench_find(name));
}

static void
ack(void)
{
	session_ack(bench.session, bench.session->seq, SIZE_MAX);
}

/* --- idle ----------------------------------------------------------------- */

START_TEST(idle_waits_for_the_loop_to_look)
{
	idle("i");
	ck_assert(batch_has_work(bench.session));
	ck_assert(!batch_has_ready(bench.session));
	expect_events("");
	bench_run(0);
	expect_events("i");
	ck_assert(!batch_has_work(bench.session));
	bench_run(0);
	expect_events("");
	ack();
	expect_events("");
	bench_run(0);
	expect_events("i");
}
END_TEST

START_TEST(idle_waits_for_what_was_set_going)
{
	idle("i");
	bench_run(0);
	watch("a");
	expect_events("");
	bench_run(0);
	expect_events("i");
	watch("h", .hold = true);
	fire("h");
	expect_events("h");
	ack();
	expect_events("");
	bench_run(0);
	expect_events("i");
}
END_TEST

START_TEST(idle_comes_after_all_else)
{
	idle("i", .priority = 2);
	watch("a", .priority = -2);
	bench_run(0);
	fire("a");
	expect_events("a");
	fire("a");
	bench_run(0);
	expect_events("a");
	bench_run(0);
	expect_events("i");
}
END_TEST

START_TEST(idles_of_the_highest_priority)
{
	idle("l", .priority = -1);
	idle("h", .priority = 1);
	idle("h2", .priority = 1);
	bench_run(0);
	expect_events("h h2");
	ck_assert_uint_eq(bench.session->batches, 1);
	ack();
	bench_run(0);
	expect_events("h h2");
	bench_run(0);
	expect_events("l");
	ck_assert_uint_eq(bench.session->batches, 3);
}
END_TEST

START_TEST(idles_go_on_after_a_full_buffer)
{
	idle("a");
	idle("b");
	idle("c");
	watch("x");
	prepare("|");
	bench_run(0);
	ck_assert_str_eq(bench_summary_up_to(1), "a");
	fire("x");
	watcher_stop(bench_find("b"), &cleared);
	watcher_start(bench_find("b"), &cleared, &error);
	idle("d", .priority = 2);
	ck_assert_str_eq(bench_summary_up_to(1), "c");
	ack();
	expect_events("| x |");
	bench_run(0);
	expect_events("d |");
	bench_run(0);
	expect_events("b a c |");
}
END_TEST

START_TEST(idle_is_stopped_when_the_input_has_ended)
{
	idle("a");
	idle("b");
	bench_run(0);
	ck_assert_str_eq(bench_summary_up_to(1), "a");
	session_end_input(bench.session);
	ck_assert(session_drop_holds(bench.session, SIZE_MAX));
	ck_assert(!bench_find("a")->active);
	ck_assert(!batch_was_last(bench.session));
	expect_events("b.");
	ck_assert(batch_was_last(bench.session));
}
END_TEST

START_TEST(idle_has_its_turn_before_the_session_is_over)
{
	idle("i");
	expect("{'cmd':'unref'}", "{'result':{'refs':-1}}");
	session_end_input(bench.session);
	ck_assert(!batch_was_last(bench.session));
	bench_run(0);
	expect_events("i.");
	ck_assert(batch_was_last(bench.session));
}
END_TEST

START_TEST(poll_waits_for_an_idle)
{
	idle("i");
	expect("{'cmd':'poll'}", "");
	ck_assert_str_eq(bench_resume(), "");
	bench_run(0);
	ck_assert_str_eq(bench_resume(), "");
	expect_events("i");
	ck_assert_str_eq(bench_resume(), "{'result':{'seq':1}}");
}
END_TEST

START_TEST(owner_hears_of_an_idle)
{
	idle("i");
	ck_assert_int_eq(bench.works, 1);
	bench_run(0);
	expect_events("i");
	ck_assert_int_eq(bench.works, 1);
	ack();
	ck_assert_int_eq(bench.works, 2);
}
END_TEST

/* --- check, prepare ------------------------------------------------------- */

START_TEST(they_frame_batches)
{
	prepare("p", .priority = -1);
	prepare("P");
	check("c", .priority = -1);
	check("C");
	watch("a", .priority = 2);
	watch("b", .priority = -2);
	expect_events("");
	ck_assert(!batch_has_work(bench.session));
	fire("b");
	fire("a");
	expect_events("C c a b P p");
	bench_run(0);
	expect_events("");
	fire("a");
	expect_events("C c a P p");
	ck_assert_int_eq(bench.works, 3);
}
END_TEST

START_TEST(they_go_on_after_a_full_buffer)
{
	const char *rest[] = { "c1", "c3", "a+2", "p1", "p2", "" };

	check("c1");
	check("c2");
	check("c3");
	prepare("p1");
	prepare("p2");
	watch("a");
	fire("a");
	for (int i = 0; *rest[i] != '\0'; i++) {
		ck_assert_str_eq(bench_summary_up_to(1), rest[i]);
		bench_verify(bench.session);
		if (i == 0) {
			watcher_stop(bench_find("c2"), &cleared);
			check("c4", .priority = 2);
			prepare("p3", .priority = 2);
		}
		fire("a");
	}
	ck_assert_uint_eq(bench.session->batches, 1);
	ck_assert_str_eq(bench_summary_up_to(1), "c4");
	watcher_clear(bench_find("a"), &cleared);
	expect_events("c1 c3 p3 p1 p2");
}
END_TEST

START_TEST(batch_is_open_until_it_is_closed)
{
	struct session *s = bench.session;
	uint64_t number;

	prepare("p");
	watch("a");
	fire("a");
	number = batch_last(s);
	ck_assert_str_eq(bench_summary_up_to(1), "a");
	ck_assert(batch_has_ready(s));
	ck_assert(!batch_is_written(s, number));
	expect_events("p");
	ck_assert(batch_is_written(s, number));
	ck_assert(!batch_has_ready(s));
}
END_TEST

START_TEST(held_ones_wait_for_the_ack)
{
	check("c", .hold = true);
	prepare("p", .hold = true);
	watch("a");
	fire("a");
	expect_events("c a p");
	fire("a");
	expect_events("a");
	ck_assert(!bench_find("c")->pending);
	ack();
	expect_events("");
	fire("a");
	expect_events("c a p");
}
END_TEST

START_TEST(fed_one_is_in_place_of_the_firing)
{
	check("c");
	prepare("p");
	watch("a");
	fire("a");
	watcher_feed(bench_find("p"), 1);
	watcher_feed(bench_find("p"), 1);
	watcher_feed(bench_find("c"), 1);
	expect_events("a p+1 c");
	watcher_feed(bench_find("c"), 1);
	watcher_clear(bench_find("c"), &cleared);
	ck_assert(cleared.pending);
	fire("a");
	expect_events("c a p");
}
END_TEST

START_TEST(end_takes_the_frame_along)
{
	check("c", .end = true);
	prepare("p");
	watch("a");
	fire("a");
	ck_assert_str_eq(bench_summary_up_to(1), "c");
	fire("a");
	ck_assert(!bench.session->finished);
	ck_assert_str_eq(bench_summary_up_to(1), "a+1");
	ck_assert(!bench.session->finished);
	fire("a");
	expect_events("p");
	ck_assert(bench.session->finished);
}
END_TEST

START_TEST(once_and_release)
{
	check("c", .once = true, .release = true);
	prepare("p", .once = true);
	watch("a");
	fire("a");
	expect_events("c. a p.");
	ck_assert_ptr_null(bench_find("c"));
	fire("a");
	expect_events("a");
}
END_TEST

START_TEST(ended_session_fires_nothing)
{
	check("c");
	idle("i");
	forks("f");
	watch("a");
	fire("a");
	session_end(bench.session);
	watcher_fired(bench_find("a"));
	ck_assert_int_eq(bench.works, 2);
}
END_TEST

/* --- fork ----------------------------------------------------------------- */

START_TEST(fork_fires_at_each_reset)
{
	forks("f");
	watch("a");
	expect("{'cmd':'reset'}", DONE);
	expect("{'cmd':'reset'}", DONE);
	expect_events("f+1");
	expect_events("");
	watcher_stop(bench_find("f"), &cleared);
	expect("{'cmd':'reset'}", DONE);
	expect_events("");
}
END_TEST

START_TEST(no_batch_begins_before_all_forks_have_fired)
{
	char name[16];

	prepare("|");
	for (int i = 0; i < 2500; i++) {
		snprintf(name, sizeof(name), "%d", i);
		forks(name);
	}
	expect("{'cmd':'reset'}", "");
	expect_events("");
	ck_assert_str_eq(bench_resume(), "");
	expect_events("");
	ck_assert_str_eq(bench_resume(), DONE);
	ck_assert_uint_eq(session_n_ready(bench.session), 2500);
	bench_events();
	ck_assert_uint_eq(bench.session->seq, 2501);
	ck_assert_uint_eq(bench.session->batches, 1);
}
END_TEST

/* --- the law -------------------------------------------------------------- */

/* Each batch fires each of them at most once, and none is left over. */
START_TEST(at_random_all_is_as_it_must_be)
{
	const char *types[] = { "idle", "check", "prepare", "fork", "async" };
	char name[2] = "";

	for (int i = 0; i < 20; i++) {
		name[0] = (char)('a' + i);
		watch_type(types[i % 5], name,
		    (struct watch_options){ .priority = i / 5 - 2,
			.hold = i % 3 == 0 });
	}
	for (int i = 0; i < 5000; i++) {
		struct watcher *w;

		name[0] = (char)('a' + unit_below(20));
		w = bench_find(name);
		switch (unit_below(10)) {
		case 0:
		case 1:
			bench_run(0);
			bench_summary_up_to(unit_below(300));
			break;
		case 2:
			ack();
			break;
		case 3:
			watcher_clear(w, &cleared);
			break;
		case 4:
			watcher_stop(w, &cleared);
			break;
		case 5:
			watcher_start(w, &cleared, &error);
			break;
		case 6:
			session_reset(bench.session);
			session_fire_resets(bench.session, SIZE_MAX);
			break;
		default:
			watcher_feed(w, 1);
		}
		bench_verify(bench.session);
	}
	for (int i = 0; i < 10; i++) {
		bench_run(0);
		bench_events();
	}
	ck_assert(!batch_has_work(bench.session));
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("loop", bench_setup, bench_teardown);

	tcase_add_test(cases, idle_waits_for_the_loop_to_look);
	tcase_add_test(cases, idle_waits_for_what_was_set_going);
	tcase_add_test(cases, idle_comes_after_all_else);
	tcase_add_test(cases, idles_of_the_highest_priority);
	tcase_add_test(cases, idles_go_on_after_a_full_buffer);
	tcase_add_test(cases, idle_is_stopped_when_the_input_has_ended);
	tcase_add_test(cases, idle_has_its_turn_before_the_session_is_over);
	tcase_add_test(cases, poll_waits_for_an_idle);
	tcase_add_test(cases, owner_hears_of_an_idle);
	tcase_add_test(cases, they_frame_batches);
	tcase_add_test(cases, they_go_on_after_a_full_buffer);
	tcase_add_test(cases, batch_is_open_until_it_is_closed);
	tcase_add_test(cases, held_ones_wait_for_the_ack);
	tcase_add_test(cases, fed_one_is_in_place_of_the_firing);
	tcase_add_test(cases, end_takes_the_frame_along);
	tcase_add_test(cases, once_and_release);
	tcase_add_test(cases, ended_session_fires_nothing);
	tcase_add_test(cases, fork_fires_at_each_reset);
	tcase_add_test(cases, no_batch_begins_before_all_forks_have_fired);
	tcase_add_test(cases, at_random_all_is_as_it_must_be);
	return unit_run(cases);
}
