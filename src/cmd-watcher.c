#include "config.h"

#include <string.h>

#include "command.h"
#include "put.h"
#include "schedule.h"

/* The verbs that act on one watcher. */

/*
 * The member `fds` of a verb that a watcher may take a descriptor with.  None
 * takes more than one; what is passed besides is closed.
 */
#define FDS_PARAM(type, field) \
	PARAM("fds", PARAM_INTEGER, type, field, .min = 0, .max = FDS_MAX)

/* Where the descriptor is that was passed, or a -1. */
static int *
passed_fd(const struct command_call *call, int *none)
{
	*none = -1;
	return call->n_fds > 0 ? &call->fds[0] : none;
}

static int
check_fds(const struct command_call *call)
{
	if (call->n_fds <= 1)
		return 0;
	return error_set(call->error, ERROR_INVALID_ARGUMENT,
	    "member \"fds\" is %zu, expected 0 or 1: a watcher takes one",
	    call->n_fds);
}

static const struct param watcher_params[] = {
	WATCHER_PARAM(.required = true),
};

/* An event that was taken back. */
static void
put_cleared(struct buffer *b, const struct cleared *cleared)
{
	if (cleared->pending)
		put_pending(b, "cleared", cleared->revents, cleared->overrun);
}

/* What the type has to say of a watcher that the verb has started. */
static void
put_started(struct buffer *b, const struct watcher *w)
{
	if (w->active && w->class->put_started != NULL)
		w->class->put_started(w, b);
}

/* --- watch -------------------------------------------------------------- */

struct watch_args {
	struct watcher_args base;
	struct slice type;
	int64_t priority;
	struct slice data;
	bool start;
	bool hold;
	bool once;
	bool release;
	bool end;
	int64_t fds;
};

_Static_assert(sizeof(struct watch_args) <= COMMAND_ARGS_MAX, "room");

enum {
	WATCH_WATCHER,
	WATCH_TYPE,
	WATCH_PRIORITY,
	WATCH_DATA,
	WATCH_START,
	WATCH_HOLD,
	WATCH_ONCE,
	WATCH_RELEASE,
	WATCH_END,
	WATCH_FDS
};

static const struct param watch_params[] = {
	[WATCH_WATCHER] = WATCHER_PARAM(.required = true),
	[WATCH_TYPE] = PARAM("type", PARAM_STRING, struct watch_args, type,
	    .required = true),
	[WATCH_PRIORITY] = PARAM("priority", PARAM_INTEGER, struct watch_args,
	    priority, .min = -PRIORITY_MAX, .max = PRIORITY_MAX),
	[WATCH_DATA] = PARAM("data", PARAM_JSON, struct watch_args, data),
	[WATCH_START] = PARAM("start", PARAM_BOOL, struct watch_args, start),
	[WATCH_HOLD] = PARAM("hold", PARAM_BOOL, struct watch_args, hold),
	[WATCH_ONCE] = PARAM("once", PARAM_BOOL, struct watch_args, once),
	[WATCH_RELEASE] = PARAM("release", PARAM_BOOL, struct watch_args,
	    release),
	[WATCH_END] = PARAM("end", PARAM_BOOL, struct watch_args, end),
	[WATCH_FDS] = FDS_PARAM(struct watch_args, fds),
};

static enum command_result
command_watch_run(struct command_call *call)
{
	const struct watch_args *args = call->args;
	uint32_t given = args->base.given;
	struct session *s = call->session;
	struct watcher *w;
	int none;
	struct watch_options options = {
		.priority = args->priority,
		.data = args->data,
		.start = !(given & PARAM_BIT(WATCH_START)) || args->start,
		.hold = given & PARAM_BIT(WATCH_HOLD) ? args->hold :
							s->hold_all,
		.once = args->once,
		.release = args->release,
		.end = args->end,
		.fd = passed_fd(call, &none),
	};

	if (check_fds(call) < 0)
		return COMMAND_ERROR;
	w = session_watch(s, call->class, &args->base.watcher, &options,
	    call->type_args, call->error);
	if (w == NULL)
		return COMMAND_ERROR;
	put_started(call->out, w);
	return COMMAND_DONE;
}

const struct command command_watch = {
	.name = { "watch", 5 },
	.params = watch_params,
	.n_params = N_PARAMS(watch_params),
	.typed = TYPED_BY_MEMBER,
	.run = command_watch_run,
};

/* --- start, stop, clear, unwatch, reset --------------------------------- */

struct start_args {
	struct watcher_args base;
	int64_t fds;
};

static const struct param start_params[] = {
	WATCHER_PARAM(.required = true),
	FDS_PARAM(struct start_args, fds),
};

static enum command_result
command_start_run(struct command_call *call)
{
	struct cleared cleared;
	bool active = call->watcher->active;
	int none;

	if (check_fds(call) < 0 ||
	    watcher_give(call->watcher, passed_fd(call, &none), call->error) <
		0 ||
	    watcher_start(call->watcher, &cleared, call->error) < 0)
		return COMMAND_ERROR;
	put_cleared(call->out, &cleared);
	if (!active)
		put_started(call->out, call->watcher);
	return COMMAND_DONE;
}

static enum command_result
command_stop_run(struct command_call *call)
{
	struct cleared cleared;

	watcher_stop(call->watcher, &cleared);
	put_cleared(call->out, &cleared);
	return COMMAND_DONE;
}

static enum command_result
command_clear_run(struct command_call *call)
{
	struct cleared cleared;

	watcher_clear(call->watcher, &cleared);
	put_cleared(call->out, &cleared);
	return COMMAND_DONE;
}

static enum command_result
command_unwatch_run(struct command_call *call)
{
	struct cleared cleared;

	session_unwatch(call->session, call->watcher, &cleared);
	put_cleared(call->out, &cleared);
	return COMMAND_DONE;
}

#define WATCHER_COMMAND(verb, table)                  \
	const struct command command_##verb = {       \
		.name = { #verb, sizeof(#verb) - 1 }, \
		.params = (table),                    \
		.n_params = N_PARAMS(table),          \
		.finds_watcher = true,                \
		.run = command_##verb##_run,          \
	}

WATCHER_COMMAND(start, start_params);
WATCHER_COMMAND(stop, watcher_params);
WATCHER_COMMAND(clear, watcher_params);
WATCHER_COMMAND(unwatch, watcher_params);

static const struct param reset_params[] = { WATCHER_PARAM() };

/* Forks that fire in one go: the loop is everybody's. */
#define RESET_CHUNK 1000

static bool
reset_step(struct command_context *context, struct session *s,
    struct command_deferred *deferred, struct buffer *b)
{
	(void)context;
	(void)deferred;
	(void)b;
	return session_fire_resets(s, RESET_CHUNK);
}

static enum command_result
reset_loop(struct command_call *call)
{
	session_reset(call->session);
	if (session_fire_resets(call->session, RESET_CHUNK))
		return COMMAND_DONE;
	return command_defer(call, reset_step);
}

/* Without a watcher it is the loop's reset. */
static enum command_result
command_reset_run(struct command_call *call)
{
	const struct watcher_args *args = call->args;
	struct cleared cleared;
	struct watcher *w;

	if (!args->given)
		return reset_loop(call);
	w = session_find_watcher(call->session, &args->watcher, call->error);
	if (w == NULL)
		return COMMAND_ERROR;
	if (w->class->reset == NULL)
		return error_set(call->error, ERROR_INVALID_ARGUMENT,
		    "member \"watcher\" names one of type \"%s\", which has no "
		    "time to reset; expected a timer, a periodic or a "
		    "scheduler",
		    w->class->name.p);
	if (watcher_reset(w, &cleared, call->error) < 0)
		return COMMAND_ERROR;
	put_cleared(call->out, &cleared);
	return COMMAND_DONE;
}

const struct command command_reset = {
	.name = { "reset", 5 },
	.params = reset_params,
	.n_params = N_PARAMS(reset_params),
	.run = command_reset_run,
};

/* --- set ---------------------------------------------------------------- */

struct set_args {
	struct watcher_args base;
	int64_t priority;
	struct slice data;
	int64_t fds;
};

enum { SET_WATCHER, SET_PRIORITY, SET_DATA, SET_FDS };

static const struct param set_params[] = {
	[SET_WATCHER] = WATCHER_PARAM(.required = true),
	[SET_PRIORITY] = PARAM("priority", PARAM_INTEGER, struct set_args,
	    priority, .min = -PRIORITY_MAX, .max = PRIORITY_MAX),
	[SET_DATA] = PARAM("data", PARAM_JSON, struct set_args, data),
	[SET_FDS] = FDS_PARAM(struct set_args, fds),
};

/* Whether all that is given may be set now; before anything is. */
static int
set_check(const struct command_call *call)
{
	const struct set_args *args = call->args;
	uint32_t type_given = *(const uint32_t *)call->type_args;
	const struct watcher *w = call->watcher;

	if (type_given == 0 && args->base.given == PARAM_BIT(SET_WATCHER))
		return error_set(call->error, ERROR_INVALID_ARGUMENT,
		    "nothing to set, expected at least one member besides "
		    "\"watcher\"");
	if ((args->base.given & PARAM_BIT(SET_PRIORITY)) &&
	    (w->active || w->pending))
		return error_set(call->error, ERROR_WATCHER_ACTIVE,
		    "member \"priority\" can't be set while the watcher is %s, "
		    "expected a %s before",
		    w->active ? "active" : "pending",
		    w->active ? "stop" : "clear");
	return check_fds(call);
}

/* What the type takes, in one go: its members, and a descriptor. */
static int
set_type(const struct command_call *call, struct cleared *cleared)
{
	struct watcher *w = call->watcher;
	int none, *fd = passed_fd(call, &none);

	if (*(const uint32_t *)call->type_args == 0 && *fd < 0)
		return 0;
	if (watcher_accept(w, call->type_args, *fd, call->error) < 0 ||
	    watcher_set(w, call->type_args, cleared, call->error) < 0)
		return -1;
	if (*fd < 0)
		return 0;
	if (watcher_give(w, fd, call->error) < 0)
		return -1;
	/* Another descriptor is something else to watch. */
	if (!cleared->pending)
		watcher_stop(w, cleared);
	return 0;
}

static enum command_result
command_set_run(struct command_call *call)
{
	const struct set_args *args = call->args;
	struct watcher *w = call->watcher;
	struct cleared cleared = { 0 };
	size_t old = watcher_data(w).len, new = old;

	if (args->base.given & PARAM_BIT(SET_DATA))
		new = args->data.len;
	/* First all that can be refused. */
	if (set_check(call) < 0 ||
	    session_charge_data(call->session, old, new, call->error) < 0)
		return COMMAND_ERROR;
	if (set_type(call, &cleared) < 0) {
		session_charge_data(call->session, new, old, call->error);
		return COMMAND_ERROR;
	}
	if (args->base.given & PARAM_BIT(SET_DATA))
		watcher_set_data(w, args->data);
	if (args->base.given & PARAM_BIT(SET_PRIORITY))
		w->priority = args->priority;
	put_cleared(call->out, &cleared);
	return COMMAND_DONE;
}

const struct command command_set = {
	.name = { "set", 3 },
	.params = set_params,
	.n_params = N_PARAMS(set_params),
	.finds_watcher = true,
	.typed = TYPED_BY_WATCHER,
	.run = command_set_run,
};

/* --- get ---------------------------------------------------------------- */

struct get_args {
	struct watcher_args base;
	int64_t next;
};

enum { GET_WATCHER, GET_NEXT };

static const struct param get_params[] = {
	[GET_WATCHER] = WATCHER_PARAM(.required = true),
	[GET_NEXT] = PARAM("next", PARAM_INTEGER, struct get_args, next,
	    .min = 1, .max = SCHEDULE_NEXT_MAX),
};

static enum command_result
command_get_run(struct command_call *call)
{
	const struct get_args *args = call->args;
	bool next = args->base.given & PARAM_BIT(GET_NEXT);
	struct watcher *w = call->watcher;
	struct buffer *b = call->out;
	struct slice name = watcher_name(w);
	struct slice data = watcher_data(w);

	if (next && w->class->put_next == NULL)
		return error_set(call->error, ERROR_INVALID_ARGUMENT,
		    "member \"next\" is %d, expected none: watchers of "
		    "type %s have no times of the wall clock",
		    (int)args->next, w->class->name.p);
	watcher_catch_up(w);
	put_member(b, "type");
	put_string(b, w->class->name.p, w->class->name.len);
	put_key(b, "watcher");
	buffer_append(b, name.p, name.len);
	put_watcher_state(b, w);
	if (w->class->put_state != NULL)
		w->class->put_state(w, b);
	if (next)
		w->class->put_next(w, b, (int)args->next);
	if (data.len > 0) {
		put_key(b, "data");
		buffer_append(b, data.p, data.len);
	}
	return COMMAND_DONE;
}

WATCHER_COMMAND(get, get_params);

/* --- feed, send, stat --------------------------------------------------------- */

struct feed_args {
	struct watcher_args base;
	int64_t revents;
};

static const struct param feed_params[] = {
	WATCHER_PARAM(.required = true),
	PARAM("revents", PARAM_INTEGER, struct feed_args, revents,
	    .required = true, .min = INT32_MIN, .max = INT32_MAX),
};

static enum command_result
command_feed_run(struct command_call *call)
{
	const struct feed_args *args = call->args;

	watcher_feed(call->watcher, (int)args->revents);
	return COMMAND_DONE;
}

WATCHER_COMMAND(feed, feed_params);

struct send_args {
	struct watcher_args base;
	struct slice session;
};

enum { SEND_WATCHER, SEND_SESSION };

static const struct param send_params[] = {
	[SEND_WATCHER] = WATCHER_PARAM(.required = true),
	[SEND_SESSION] = PARAM("session", PARAM_STRING, struct send_args,
	    session),
};

static enum command_result
command_send_run(struct command_call *call)
{
	const struct send_args *args = call->args;
	struct session *s = call->session;
	struct watcher *w;
	bool sent;

	if (args->base.given & PARAM_BIT(SEND_SESSION))
		s = session_find(s->registry, account_uid(&s->account),
		    args->session, call->error);
	if (s == NULL)
		return COMMAND_ERROR;
	w = session_find_watcher_for(s, call->session, "watcher",
	    &args->base.watcher, call->error);
	if (w == NULL)
		return COMMAND_ERROR;
	if (w->class->send == NULL)
		return error_set(call->error, ERROR_INVALID_ARGUMENT,
		    "member \"watcher\" names one of type \"%s\", expected an "
		    "async",
		    w->class->name.p);
	sent = w->active;
	if (sent)
		w->class->send(w);
	put_member(call->out, "sent");
	buffer_append(call->out, sent ? "true" : "false", sent ? 4 : 5);
	return COMMAND_DONE;
}

const struct command command_send = {
	.name = { "send", 4 },
	.params = send_params,
	.n_params = N_PARAMS(send_params),
	.run = command_send_run,
};

static enum command_result
command_stat_run(struct command_call *call)
{
	struct watcher *w = call->watcher;

	if (w->class->stat == NULL)
		return error_set(call->error, ERROR_INVALID_ARGUMENT,
		    "member \"watcher\" names one of type \"%s\", expected a "
		    "stat",
		    w->class->name.p);
	return w->class->stat(w, call->out, call->error) < 0 ? COMMAND_ERROR :
							       COMMAND_DONE;
}

WATCHER_COMMAND(stat, watcher_params);
