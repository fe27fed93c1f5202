#include "config.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "batch.h"
#include "command.h"
#include "feature.h"
#include "put.h"
#include "watchers/classes.h"

/* The verbs that act on the session. */

/* Held watchers that are freed in one go: the loop is everybody's. */
#define ACK_CHUNK 1000

/* --- hello -------------------------------------------------------------- */

struct hello_args {
	uint32_t given;
	struct slice session;
	bool hold;
	const struct member *need;
};

enum { HELLO_SESSION, HELLO_HOLD, HELLO_NEED };

static const struct param hello_params[] = {
	[HELLO_SESSION] = PARAM("session", PARAM_SESSION, struct hello_args,
	    session),
	[HELLO_HOLD] = PARAM("hold", PARAM_BOOL, struct hello_args, hold),
	[HELLO_NEED] = PARAM("need", PARAM_STRINGS, struct hello_args, need),
};

static json_t *
hello_features(void)
{
	json_t *features = json_array();

	for (size_t i = 0; watcher_classes[i] != NULL; i++)
		json_array_append_new(features,
		    json_string(watcher_classes[i]->name.p));
	for (int i = 0; i < FEATURES; i++)
		if (feature_enabled(i))
			json_array_append_new(features,
			    json_string(feature_names[i]));
	return features;
}

static bool
hello_has(struct slice name)
{
	for (int i = 0; i < FEATURES; i++)
		if (slice_is(name, feature_names[i]))
			return feature_enabled(i);
	return watcher_class_find(name) != NULL;
}

static int
hello_check_need(const struct member *need, struct error *error)
{
	struct slice item;

	for (size_t i = 0; i < message_items(need); i++) {
		char found[EXCERPT_SIZE];

		message_item(need, i, &item);
		if (!hello_has(item))
			return error_set(error, ERROR_NOT_SUPPORTED,
			    "member \"need\" has \"%s\", which this daemon "
			    "does not have; expected of its features",
			    message_excerpt(found, item));
	}
	return 0;
}

static json_t *
hello_limits(const struct limits *limits)
{
	json_t *uid = json_object(), *session = json_object();

	for (int i = 0; i < LIMITS; i++) {
		const struct limit_info *info = &limit_infos[i];

		json_object_set_new(uid, info->name,
		    json_integer((json_int_t)limits->uid[i]));
		if (info->session_option != NULL)
			json_object_set_new(session, info->name,
			    json_integer((json_int_t)limits->session[i]));
	}
	return json_pack("{s:i, s:i, s:i, s:i, s:o, s:o}", "line",
	    LINE_SIZE_MAX, "id", JSON_SIZE_MAX, "data", JSON_SIZE_MAX, "name",
	    NAME_SIZE_MAX, "uid", uid, "session", session);
}

static json_t *
hello_backend(struct ev_loop *loop)
{
	return json_pack("{s:i, s:i, s:i, s:i}", "supported",
	    (int)ev_supported_backends(), "recommended",
	    (int)ev_recommended_backends(), "embeddable",
	    (int)ev_embeddable_backends(), "current", (int)ev_backend(loop));
}

static int
buffer_dump(const char *bytes, size_t n, void *b)
{
	buffer_append(b, bytes, n);
	return 0;
}

static void put_clocks(struct buffer *, const struct timeline *);

static enum command_result
command_hello_run(struct command_call *call)
{
	const struct hello_args *args = call->args;
	struct command_context *context = call->context;
	struct session *s = call->session;
	json_t *result;

	if ((args->given & PARAM_BIT(HELLO_NEED)) &&
	    hello_check_need(args->need, call->error) < 0)
		return COMMAND_ERROR;
	if ((args->given & PARAM_BIT(HELLO_SESSION)) &&
	    session_rename(s, args->session, call->error) < 0)
		return COMMAND_ERROR;
	if (args->given & PARAM_BIT(HELLO_HOLD))
		s->hold_all = args->hold;
	result = json_pack("{s:i, s:s, s:[i,i], s:o, s:i, s:s, s:o, s:o}",
	    "protocol", PROTOCOL_VERSION, "version", PACKAGE_VERSION, "libev",
	    ev_version_major(), ev_version_minor(), "backend",
	    hello_backend(context->loop), "pid", (int)getpid(), "session",
	    s->id.name, "limits", hello_limits(context->limits), "features",
	    hello_features());
	json_dump_callback(result, buffer_dump, call->out,
	    JSON_COMPACT | JSON_EMBED);
	json_decref(result);
	put_clocks(call->out, &s->host.timeline);
	return COMMAND_DONE;
}

const struct command command_hello = {
	.name = { "hello", 5 },
	.params = hello_params,
	.n_params = N_PARAMS(hello_params),
	.run = command_hello_run,
};

/* --- now, update -------------------------------------------------------- */

static void
put_clocks(struct buffer *b, const struct timeline *timeline)
{
	put_member(b, "now");
	put_time(b, timeline_now(timeline));
	put_key(b, "monotonic");
	put_time_ns(b, timeline_monotonic(timeline));
}

static enum command_result
command_now_run(struct command_call *call)
{
	put_clocks(call->out, &call->session->host.timeline);
	return COMMAND_DONE;
}

const struct command command_now = {
	.name = { "now", 3 },
	.run = command_now_run,
};

static enum command_result
command_update_run(struct command_call *call)
{
	wallclock_update(call->context->clock);
	return command_now_run(call);
}

const struct command command_update = {
	.name = { "update", 6 },
	.run = command_update_run,
};

/* --- ack ---------------------------------------------------------------- */

struct ack_args {
	struct watcher_args base;
	int64_t seq;
};

enum { ACK_WATCHER, ACK_SEQ };

static const struct param ack_params[] = {
	[ACK_WATCHER] = WATCHER_PARAM(),
	[ACK_SEQ] = PARAM("seq", PARAM_INTEGER, struct ack_args, seq, .min = 0,
	    .max = INTEGER_MAX),
};

static void
put_freed(struct buffer *b, uint64_t n)
{
	put_member(b, "freed");
	put_u64(b, n);
}

static enum command_result
ack_watcher(struct command_call *call, const struct name *name)
{
	struct watcher *w = session_find_watcher(call->session, name,
	    call->error);

	if (w == NULL)
		return COMMAND_ERROR;
	put_freed(call->out, session_ack_watcher(call->session, w));
	return COMMAND_DONE;
}

/* number: up to which seq; count: freed so far. */
static bool
ack_step(struct command_context *context, struct session *s,
    struct command_deferred *deferred, struct buffer *b)
{
	size_t n = session_ack(s, deferred->number, ACK_CHUNK);

	(void)context;
	deferred->count += n;
	if (n == ACK_CHUNK)
		return false;
	put_freed(b, deferred->count);
	return true;
}

static enum command_result
command_ack_run(struct command_call *call)
{
	const struct ack_args *args = call->args;
	struct session *s = call->session;
	uint64_t seq = s->seq;
	size_t n;

	switch (args->base.given) {
	case PARAM_BIT(ACK_WATCHER):
		return ack_watcher(call, &args->base.watcher);
	case PARAM_BIT(ACK_WATCHER) | PARAM_BIT(ACK_SEQ):
		return error_set(call->error, ERROR_INVALID_ARGUMENT,
		    "members \"seq\" and \"watcher\" are both there, expected "
		    "at most one");
	case PARAM_BIT(ACK_SEQ):
		seq = (uint64_t)args->seq;
		break;
	}
	if (seq > s->seq)
		return error_set(call->error, ERROR_INVALID_ARGUMENT,
		    "member \"seq\" is %ju, expected at most %ju, that of the "
		    "last event written",
		    (uintmax_t)seq, (uintmax_t)s->seq);
	n = session_ack(s, seq, ACK_CHUNK);
	if (n == ACK_CHUNK) {
		command_defer(call, ack_step);
		(*call->deferred)->number = seq;
		(*call->deferred)->count = n;
		return COMMAND_LATER;
	}
	put_freed(call->out, n);
	return COMMAND_DONE;
}

const struct command command_ack = {
	.name = { "ack", 3 },
	.params = ack_params,
	.n_params = N_PARAMS(ack_params),
	.run = command_ack_run,
};

/* --- poll --------------------------------------------------------------- */

static void
put_seq(struct buffer *b, const struct session *s)
{
	put_member(b, "seq");
	put_u64(b, s->seq);
}

/*
 * First a whole iteration of the loop; then all that is ready is gathered,
 * which may take some more (count: 1; number: the ticket; time: up to which
 * deadlines are due); then the number of the batch that ends it is noted, and that
 * batch waited for (count: 2).
 */
static bool
poll_step(struct command_context *context, struct session *s,
    struct command_deferred *deferred, struct buffer *b)
{
	if (deferred->count == 0) {
		if (ev_iteration(context->loop) == deferred->iteration)
			return false;
		deferred->number = context->gather(context);
		deferred->time = timeline_time(&s->host.timeline);
		deferred->count = 1;
	}
	if (deferred->count == 1) {
		if (!context->has_gathered(context, deferred->number) ||
		    !session_has_fired(s, deferred->time))
			return false;
		deferred->number = batch_last(s);
		deferred->count = 2;
	}
	if (!batch_is_written(s, deferred->number))
		return false;
	s->at_once = false;
	put_seq(b, s);
	return true;
}

static enum command_result
command_poll_run(struct command_call *call)
{
	/* Nothing is ready then. */
	if (call->session->suspended) {
		put_seq(call->out, call->session);
		return COMMAND_DONE;
	}
	call->session->at_once = true;
	return command_defer(call, poll_step);
}

const struct command command_poll = {
	.name = { "poll", 4 },
	.run = command_poll_run,
};
