#ifndef EVD_TESTS_BENCH_H
#define EVD_TESTS_BENCH_H

#include <ev.h>
#include <jansson.h>
#include <string.h>

#include "batch.h"
#include "command.h"
#include "fakeclock.h"
#include "log.h"
#include "session.h"
#include "unit.h"
#include "verify.h"
#include "watchers/classes.h"

/*
 * A session on a bench: a loop with clocks of ours, and all that a session
 * needs, but no socket.  JSON is written with ' for " here.
 */
#define BENCH_MONOTONIC 1000.0
#define BENCH_NOW	3800000000.0
#define BENCH_UID	1000

static struct bench {
	struct ev_loop *loop;
	struct wallclock clock;
	struct timelines timelines;
	struct alarms alarms;
	struct zones zones;
	struct dirwatch dirwatch;
	struct limits limits;
	struct fdpoll fdpoll;
	struct fdqueue fds; /* nobody passes any */
	struct registry registry;
	struct command_context context;
	struct command_deferred *deferred;
	struct pidpoll pidpoll;
	struct children children;
	struct signals signals;
	struct stats stats;
	struct refusals refusals;
	struct socket_listener listener;
	struct session *session;
	struct buffer out;
	char *said; /* the line that is executed, for its slices */
	char *text; /* what was returned last */
	uint64_t lines;
	uint64_t seq;	/* of the last event seen */
	uint64_t ticks; /* events seen, and their overruns */
	int works;	/* calls of on_work */
} bench;

static inline void
bench_on_work(struct session *s)
{
	(void)s;
	bench.works++;
}

static inline size_t
bench_unsent(const struct session *s)
{
	(void)s;
	return 0;
}

static inline uint64_t
bench_gather(struct command_context *context)
{
	(void)context;
	return dirwatch_gather(&bench.dirwatch);
}

static inline bool
bench_has_gathered(const struct command_context *context, uint64_t ticket)
{
	(void)context;
	return dirwatch_is_done(&bench.dirwatch, ticket);
}

static inline struct session *
bench_new_session(uid_t uid)
{
	struct peer peer = { .uid = uid, .full = true };
	struct session_config config = {
		.registry = &bench.registry,
		.loop = bench.loop,
		.timelines = &bench.timelines,
		.alarms = &bench.alarms,
		.zones = &bench.zones,
		.limits = &bench.limits,
		.fdpoll = &bench.fdpoll,
		.pidpoll = &bench.pidpoll,
		.children = &bench.children,
		.signals = &bench.signals,
		.stats = &bench.stats,
		.dirwatch = &bench.dirwatch,
		.listener = &bench.listener,
		.peer = &peer,
		.on_work = bench_on_work,
	};

	return session_new(&config);
}

static inline void
bench_free_session(struct session *s)
{
	size_t budget = SIZE_MAX;

	if (!s->ended)
		session_end(s);
	ck_assert(session_free_some(s, &budget));
}

static inline void
bench_setup(void)
{
	log_set_level(LEVEL_ERROR);
	fakeclock_start(BENCH_MONOTONIC, BENCH_NOW);
	bench = (struct bench){ .loop = ev_loop_new(EVFLAG_NOENV) };
	wallclock_init(&bench.clock, bench.loop);
	timelines_init(&bench.timelines, &bench.clock);
	alarms_init(&bench.alarms, &bench.clock);
	zones_init(&bench.zones);
	ck_assert_int_eq(fdpoll_init(&bench.fdpoll, bench.loop), 0);
	ck_assert_int_eq(pidpoll_init(&bench.pidpoll, bench.loop), 0);
	ck_assert_int_eq(signals_init(&bench.signals, bench.loop), 0);
	children_init(&bench.children, &bench.clock, &bench.pidpoll);
	dirwatch_init(&bench.dirwatch, bench.loop);
	limits_init(&bench.limits);
	registry_init(&bench.registry);
	buffer_init(&bench.out, NULL);
	bench.context = (struct command_context){
		.loop = bench.loop,
		.clock = &bench.clock,
		.zones = &bench.zones,
		.limits = &bench.limits,
		.registry = &bench.registry,
		.stats = &bench.stats,
		.refusals = &bench.refusals,
		.unsent = bench_unsent,
		.gather = bench_gather,
		.has_gathered = bench_has_gathered,
	};
	message_init(&bench.context.message);
	bench.session = bench_new_session(BENCH_UID);
	fdqueue_init(&bench.fds, &bench.session->account);
}

static inline void
bench_verify(struct session *s)
{
	verify_begin(s);
	ck_assert(verify_some(s, SIZE_MAX));
}

/* All that was taken is given back. */
static inline void
bench_teardown(void)
{
	ev_verify(bench.loop);
	if (!bench.session->ended)
		bench_verify(bench.session);
	fdqueue_fini(&bench.fds);
	bench_free_session(bench.session);
	ck_assert_uint_eq(bench.limits.accounts.count, 0);
	ck_assert_uint_eq(bench.registry.table.count, 0);
	ck_assert(TAILQ_EMPTY(&bench.alarms.groups));
	ck_assert_uint_eq(bench.timelines.turns.n, 0);
	free(bench.deferred);
	free(bench.said);
	free(bench.text);
	message_fini(&bench.context.message);
	registry_fini(&bench.registry);
	children_fini(&bench.children);
	signals_fini(&bench.signals);
	pidpoll_fini(&bench.pidpoll);
	limits_fini(&bench.limits);
	buffer_fini(&bench.out);
	dirwatch_fini(&bench.dirwatch);
	fdpoll_fini(&bench.fdpoll);
	zones_fini(&bench.zones);
	alarms_fini(&bench.alarms);
	timelines_fini(&bench.timelines);
	wallclock_fini(&bench.clock);
	ck_assert_uint_eq(ev_pending_count(bench.loop), 0);
	ev_loop_destroy(bench.loop);
	fakeclock.on = false;
}

/* --- time ---------------------------------------------------------------- */

/*
 * One iteration of the loop, so many seconds later, and a nanosecond: to
 * libev a timer is due when its time is over.
 */
static inline void
bench_run(double seconds)
{
	fakeclock_advance(seconds + 1e-9);
	ev_run(bench.loop, EVRUN_NOWAIT);
}

/* The clocks go on, and the loop does nothing. */
static inline void
bench_wait(double seconds)
{
	fakeclock_advance(seconds);
	wallclock_update(&bench.clock);
}

/* --- commands ------------------------------------------------------------ */

/* Empties out; returns what was in it, with ' for ", without the last LF. */
static inline const char *
bench_take_text(void)
{
	size_t len = buffer_len(&bench.out);

	free(bench.text);
	bench.text = memory_strdup(unit_text(&bench.out));
	if (len > 0 && bench.text[len - 1] == '\n')
		bench.text[len - 1] = '\0';
	for (char *p = bench.text; *p != '\0'; p++)
		if (*p == '"')
			*p = '\'';
	buffer_clear(&bench.out);
	return bench.text;
}

/* Executes a line; returns its reply. */
static inline const char *
bench_say_to(struct session *s, const char *text)
{
	struct line line;

	free(bench.said);
	bench.said = unit_json(text);
	ck_assert_uint_eq(buffer_len(&bench.out), 0);
	line = (struct line){ .p = bench.said,
		.len = strlen(bench.said),
		.number = ++bench.lines };
	command_execute(&bench.context, s, &bench.deferred, &line, &bench.fds,
	    &bench.out);
	return bench_take_text();
}

static inline const char *
bench_say(const char *text)
{
	return bench_say_to(bench.session, text);
}

static inline const char *
bench_resume(void)
{
	command_continue(&bench.context, bench.session, &bench.deferred,
	    &bench.out);
	return bench_take_text();
}

#define DONE		       "{'result':{}}"
#define expect(command, reply) ck_assert_str_eq(bench_say(command), reply)

/* --- events -------------------------------------------------------------- */

/* What is written if out takes that many bytes. */
static inline const char *
bench_events_up_to(size_t size)
{
	batch_write_events(bench.session, &bench.out, size);
	return bench_take_text();
}

static inline const char *
bench_events(void)
{
	return bench_events_up_to(SIZE_MAX);
}

/* One event as "name", "name+OVERRUN" or, if it has stopped, "name." */
static inline void
bench_summarize_line(char *to, const char *line, size_t len)
{
	json_t *event = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	json_t *name = json_object_get(event, "watcher");
	json_int_t overrun = json_integer_value(json_object_get(event,
	    "overrun"));

	ck_assert_msg(event != NULL, "%.*s", (int)len, line);
	ck_assert_uint_eq(json_integer_value(json_object_get(event, "seq")),
	    ++bench.seq);
	bench.ticks += 1 + (uint64_t)overrun;
	if (json_is_string(name))
		to += sprintf(to, "%s", json_string_value(name));
	else
		to += sprintf(to, "%lld", json_integer_value(name));
	if (overrun > 0)
		to += sprintf(to, "+%lld", overrun);
	if (json_is_false(json_object_get(event, "active")))
		strcpy(to, ".");
	json_decref(event);
}

/* The events that are written now, in short. */
static inline const char *
bench_summary_up_to(size_t size)
{
	static char summary[4096];
	char *at = summary;
	char *line, *lf;

	*at = '\0';
	batch_write_events(bench.session, &bench.out, size);
	while (buffer_len(&bench.out) > 0) {
		line = buffer_data(&bench.out);
		lf = memchr(line, '\n', buffer_len(&bench.out));
		ck_assert_ptr_nonnull(lf);
		if (at > summary)
			*at++ = ' ';
		bench_summarize_line(at, line, lf - line);
		at += strlen(at);
		buffer_consume(&bench.out, lf + 1 - line);
	}
	return summary;
}

static inline const char *
bench_summary(void)
{
	return bench_summary_up_to(SIZE_MAX);
}

#define expect_events(summary) ck_assert_str_eq(bench_summary(), summary)

/* --- watchers ------------------------------------------------------------ */

/* Borrowed; NULL if there is none. */
static inline struct watcher *
bench_find(const char *name)
{
	char json[300];
	struct name n = { .json = { json, 0 } };
	struct error error;

	n.json.len = (size_t)snprintf(json, sizeof(json), "\"%s\"", name);
	return session_find_watcher(bench.session, &n, &error);
}

/* A watcher without members: of a class made for the test, or an async. */
static inline struct watcher *
bench_watch_class(const struct watcher_class *class, const char *name,
    struct watch_options options)
{
	static const uint32_t no_args = 0;
	char json[300];
	struct name n = { .json = { json, 0 } };
	struct error error;
	int fd = -1;

	options.fd = &fd;
	n.json.len = (size_t)snprintf(json, sizeof(json), "\"%s\"", name);
	options.start = true;
	return session_watch(bench.session, class, &n, &options, &no_args,
	    &error);
}

#define watch(name, ...)                                                    \
	bench_watch_class(watcher_class_find((struct slice){ "async", 5 }), \
	    (name), (struct watch_options){ __VA_ARGS__ })

#endif
