#include "config.h"

#include "command.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "log.h"
#include "memory.h"
#include "put.h"
#include "watchers/classes.h"

extern const struct command command_hello;
extern const struct command command_watch;
extern const struct command command_start;
extern const struct command command_stop;
extern const struct command command_set;
extern const struct command command_get;
extern const struct command command_unwatch;
extern const struct command command_reset;
extern const struct command command_feed;
extern const struct command command_clear;
extern const struct command command_send;
extern const struct command command_stat;
extern const struct command command_ack;
extern const struct command command_now;
extern const struct command command_update;
extern const struct command command_suspend;
extern const struct command command_resume;
extern const struct command command_ref;
extern const struct command command_unref;
extern const struct command command_verify;
extern const struct command command_loop;
extern const struct command command_poll;
extern const struct command command_calendar;
extern const struct command command_feed_signal;
extern const struct command command_spawn;
extern const struct command command_kill;
extern const struct command command_list;
extern const struct command command_stats;

const struct command *const commands[] = {
	&command_hello,
	&command_watch,
	&command_start,
	&command_stop,
	&command_set,
	&command_get,
	&command_unwatch,
	&command_reset,
	&command_feed,
	&command_clear,
	&command_send,
	&command_stat,
	&command_ack,
	&command_now,
	&command_update,
	&command_suspend,
	&command_resume,
	&command_ref,
	&command_unref,
	&command_verify,
	&command_loop,
	&command_poll,
	&command_calendar,
	&command_feed_signal,
	&command_spawn,
	&command_kill,
	&command_list,
	&command_stats,
	NULL,
};

struct common_args {
	uint32_t given;
	struct slice id;
	struct slice cmd;
	bool reply;
};

enum { COMMON_CMD, COMMON_ID, COMMON_REPLY };

const struct param command_common_params[] = {
	[COMMON_CMD] = PARAM("cmd", PARAM_STRING, struct common_args, cmd,
	    .required = true),
	[COMMON_ID] = PARAM("id", PARAM_JSON, struct common_args, id),
	[COMMON_REPLY] = PARAM("reply", PARAM_BOOL, struct common_args, reply),
};
const size_t command_n_common_params = N_PARAMS(command_common_params);

#define CMD_SHOWN 64 /* bytes of an unreadable verb in its error */

union command_args {
	struct watcher_args watcher;
	char bytes[COMMAND_ARGS_MAX];
};

union type_args {
	uint32_t given;
	double align;
	char bytes[WATCHER_ARGS_MAX];
};

/* --- single members ------------------------------------------------------ */

/* Once a line, before any of them is asked for. */
static void
places_find(struct command_places *places, const struct message *m)
{
	static const char *const names[KEYS] = {
		[KEY_CMD] = "cmd",
		[KEY_FDS] = "fds",
		[KEY_ID] = "id",
		[KEY_TYPE] = "type",
		[KEY_WATCHER] = "watcher",
	};

	if (places->shape == m->shape)
		return;
	places->shape = m->shape;
	for (int key = 0; key < KEYS; key++) {
		const struct member *member = message_find(m, names[key]);

		places->at[key] = member == NULL ? -1 : member - m->members;
	}
}

/* Borrowed; NULL if the line has none. */
static inline const struct member *
command_find_member(const struct command_context *context, enum command_key key)
{
	ptrdiff_t at = context->places.at[key];

	return at < 0 ? NULL : &context->message.members[at];
}

/* --- what an error reply says of its line ------------------------------- */

static struct slice
command_read_id(struct command_context *context)
{
	const struct member *id = command_find_member(context, KEY_ID);

	if (id == NULL || id->raw.len > JSON_SIZE_MAX)
		return (struct slice){ NULL, 0 };
	return id->raw;
}

static struct slice
command_read_cmd(struct command_context *context)
{
	const struct member *cmd = command_find_member(context, KEY_CMD);
	struct slice text = { NULL, 0 };

	if (cmd == NULL || cmd->kind != MEMBER_STRING)
		return text;
	text = cmd->string;
	if (text.len > CMD_SHOWN) {
		text.len = CMD_SHOWN;
		while (text.len > 0 && (text.p[text.len] & 0xc0) == 0x80)
			text.len--;
	}
	return text;
}

static void
command_reply_error(struct command_context *context, const struct error *error,
    uint64_t number, struct buffer *out)
{
	const struct member *watcher = command_find_member(context,
	    KEY_WATCHER);
	struct name name = { .json = { NULL, 0 } };
	struct error none;

	if (watcher != NULL)
		param_parse_name(&context->message, watcher, &name, &none);
	message_reply_error(out, command_read_id(context), error, number,
	    command_read_cmd(context), name.json);
}

void
command_refuse_long_line(struct command_context *context, uint64_t number,
    struct buffer *out)
{
	static const struct slice none;
	struct error error;

	error_set(&error, ERROR_PARSE,
	    "the line is longer than %d bytes, expected no more with its LF",
	    LINE_SIZE_MAX);
	context->stats->commands++;
	context->stats->errors[error.code]++;
	message_reply_error(out, none, &error, number, none, none);
}

/* --- from a line to a call ---------------------------------------------- */

static int
command_unknown(struct slice cmd, struct error *error)
{
	char found[EXCERPT_SIZE], known[512] = "";

	for (size_t i = 0; commands[i] != NULL; i++)
		param_list_name(known, sizeof(known), commands[i]->name.p);
	return error_set(error, ERROR_UNKNOWN_COMMAND,
	    "member \"cmd\" is \"%s\", expected one of: %s",
	    message_excerpt(found, cmd), known);
}

static const struct command *
command_find(struct command_context *context, struct error *error)
{
	const struct member *cmd = command_find_member(context, KEY_CMD);

	if (cmd == NULL || cmd->kind != MEMBER_STRING) {
		char found[EXCERPT_SIZE];

		error_set(error, ERROR_INVALID_ARGUMENT,
		    "member \"cmd\" is %s, expected a string",
		    cmd == NULL ? "missing" : message_excerpt(found, cmd->raw));
		return NULL;
	}
	for (size_t i = 0; commands[i] != NULL; i++)
		if (slice_equal(commands[i]->name, cmd->string))
			return commands[i];
	command_unknown(cmd->string, error);
	return NULL;
}

static int
command_type_unknown(const struct member *type, struct error *error)
{
	char found[EXCERPT_SIZE], known[512] = "";

	for (size_t i = 0; watcher_classes[i] != NULL; i++)
		param_list_name(known, sizeof(known),
		    watcher_classes[i]->name.p);
	return error_set(error, ERROR_INVALID_ARGUMENT,
	    "member \"type\" is %s, expected one of: %s",
	    type == NULL ? "missing" : message_excerpt(found, type->raw),
	    known);
}

/*
 * Whose members a typed verb takes as well.  The watcher, where the verb
 * names one, is read first: its type decides what else is known.
 */
static int
command_find_class(struct command_call *call, const struct command *command)
{
	const struct member *member;
	struct name name;

	if (command->typed == TYPED_BY_MEMBER) {
		member = command_find_member(call->context, KEY_TYPE);
		if (member != NULL && member->kind == MEMBER_STRING)
			call->class = watcher_class_find(member->string);
		return call->class == NULL ?
		    command_type_unknown(member, call->error) :
		    0;
	}
	member = command_find_member(call->context, KEY_WATCHER);
	if (command->typed == UNTYPED || member == NULL)
		return 0;
	if (param_parse_name(&call->context->message, member, &name,
		call->error) < 0)
		return -1;
	call->watcher = session_find_watcher(call->session, &name, call->error);
	if (call->watcher == NULL)
		return -1;
	call->class = call->watcher->class;
	return 0;
}

/* --- rights --------------------------------------------------------------- */

static int
command_need(const struct command_call *call, enum right right,
    const char *what, const char *name)
{
	const struct peer *peer = &call->session->peer;
	const char *why;

	if (right == RIGHT_ALL || (why = peer_refuses(peer, right)) == NULL)
		return 0;
	if (peer->full)
		return error_set(call->error, ERROR_PERMISSION_DENIED,
		    "%s \"%s\" is refused to everybody: %s", what, name, why);
	return error_set(call->error, ERROR_PERMISSION_DENIED,
	    "%s \"%s\" needs full rights: evd does for a peer only what the "
	    "peer could do itself, and %s",
	    what, name, why);
}

static int
command_check_members(const struct command_call *call, size_t set)
{
	const struct param_plan *plan = &call->context->plan;
	uint32_t guarded = plan->guarded[set];

	for (; guarded != 0; guarded &= guarded - 1) {
		const struct param
		    *param = &plan->tables[set][ffs((int)guarded) - 1];

		if (command_need(call, param->right, "member", param->name.p) <
		    0)
			return -1;
	}
	return 0;
}

/*
 * A type is asked for when it is registered.  Where a member makes it
 * harmless, later also when that is taken back.
 */
static int
command_check_type(const struct command_call *call,
    const struct command *command, const void *type_args)
{
	const struct watcher_class *class = call->class;
	int i = ffs((int)class->harmless) - 1;
	bool given = *(const uint32_t *)type_args & class->harmless;
	bool harmless = given &&
	    *((const bool *)type_args + class->params[i].offset);

	if (command->typed == TYPED_BY_MEMBER ? harmless : !given || harmless)
		return 0;
	return command_need(call, class->right, "type", class->name.p);
}

/* What needs a right is a column of the tables: verbs, types, members. */
static int
command_check_rights(const struct command_call *call,
    const struct command *command, const struct param_set *sets, size_t n_sets)
{
	if (command_need(call, command->right, "verb", command->name.p) < 0)
		return -1;
	/* The last set is the type's. */
	if (call->class != NULL &&
	    command_check_type(call, command, sets[n_sets - 1].values) < 0)
		return -1;
	for (size_t i = 0; i < n_sets; i++)
		if (command_check_members(call, i) < 0)
			return -1;
	return 0;
}

static void
put_options(struct buffer *b, const struct watcher *w)
{
	if (w->hold)
		buffer_puts(b, ",\"hold\":true");
	if (w->once)
		buffer_puts(b, ",\"once\":true");
	if (w->release)
		buffer_puts(b, ",\"release\":true");
	if (w->end)
		buffer_puts(b, ",\"end\":true");
}

void
put_pending(struct buffer *b, const char *key, int revents, uint64_t overrun)
{
	put_member(b, key);
	buffer_puts(b, "{\"revents\":");
	put_i64(b, revents);
	put_key(b, "overrun");
	put_u64(b, overrun);
	buffer_putc(b, '}');
}

void
put_watcher_state(struct buffer *b, const struct watcher *w)
{
	buffer_puts(b, ",\"active\":");
	buffer_append(b, w->active ? "true" : "false", w->active ? 4 : 5);
	put_key(b, "priority");
	put_i64(b, w->priority);
	put_options(b, w);
	if (w->pending)
		put_pending(b, "pending", w->revents, watcher_overrun(w));
	if (watcher_is_held(w)) {
		put_key(b, "held");
		put_u64(b, w->seq);
	}
}

/* --- the whole call ------------------------------------------------------- */

static int
command_read(struct command_call *call, const struct command *command,
    struct common_args *common, union command_args *args,
    union type_args *type_args)
{
	struct param_set sets[PARAM_SETS_MAX] = {
		{ command_common_params, command_n_common_params, common },
		{ command->params, command->n_params, args },
	};
	size_t n_sets = 2;

	if (command_find_class(call, command) < 0)
		return -1;
	if (call->class != NULL)
		sets[n_sets++] = (struct param_set){ call->class->params,
			call->class->n_params, type_args };
	if (param_parse(&call->context->message, sets, n_sets,
		&call->context->plan, call->error) < 0 ||
	    command_check_rights(call, command, sets, n_sets) < 0)
		return -1;
	if (!command->finds_watcher || call->watcher != NULL)
		return 0;
	call->watcher = session_find_watcher(call->session,
	    &args->watcher.watcher, call->error);
	return call->watcher == NULL ? -1 : 0;
}

/* --- execution ---------------------------------------------------------- */

static enum command_result
command_run(struct command_call *call, bool *quiet)
{
	const struct command *command;
	struct common_args common = { .reply = true };
	union command_args args;
	union type_args type_args;

	command = command_find(call->context, call->error);
	if (command == NULL)
		return COMMAND_ERROR;
	memset(&args, 0, sizeof(args));
	memset(&type_args, 0, sizeof(type_args));
	if (command_read(call, command, &common, &args, &type_args) < 0)
		return COMMAND_ERROR;
	*quiet = !common.reply;
	/* Where none is wanted, what the verb puts is taken back. */
	if (*quiet)
		buffer_putc(call->out, '{');
	else
		message_reply_begin(call->out, command_read_id(call->context));
	call->args = &args;
	call->type_args = &type_args;
	return command->run(call);
}

/*
 * How many descriptors a line takes; also one that is refused must take its
 * own, or those behind it would get them.  False: it does not say.
 */
static bool
command_count_fds(struct command_context *context, size_t *n)
{
	const struct member *fds = command_find_member(context, KEY_FDS);

	*n = 0;
	if (fds == NULL)
		return true;
	if (fds->kind != MEMBER_INTEGER || fds->integer < 0 ||
	    fds->integer > FDS_MAX)
		return false;
	*n = (size_t)fds->integer;
	return true;
}

/*
 * The names of many watchers are somewhere in memory: to fetch its place while
 * the line is read saves a sixth of the time of registering 200,000.
 */
static void
command_expect(struct command_context *context, const struct session *s)
{
	const struct member *watcher = command_find_member(context,
	    KEY_WATCHER);

	if (watcher != NULL)
		session_expect_watcher(s, watcher->raw);
}

/* From here on the line takes part; what it did not use is closed. */
static enum command_result
command_run_with_fds(struct command_call *call, struct fdqueue *queue,
    const struct line *line, bool *quiet)
{
	int fds[FDS_MAX];
	enum command_result result;

	if (!command_count_fds(call->context, &call->n_fds))
		fdqueue_drop(queue, line->end);
	if (call->n_fds == 0)
		return command_run(call, quiet);
	if (fdqueue_take(queue, call->n_fds, fds, call->error) < 0)
		return COMMAND_ERROR;
	call->fds = fds;
	result = command_run(call, quiet);
	for (size_t i = 0; i < call->n_fds; i++)
		fdqueue_close(queue->account, fds[i]);
	call->fds = NULL;
	return result;
}

static int
command_parse(struct command_context *context, const struct line *line,
    struct error *error)
{
	struct message *m = &context->message;
	int result = message_parse(m, line->p, line->len, error);

	if (result < 0)
		m->n = 0;
	places_find(&context->places, m);
	return result;
}

enum command_result
command_execute(struct command_context *context, struct session *session,
    struct command_deferred **deferred, const struct line *line,
    struct fdqueue *fds, struct buffer *out)
{
	size_t mark = buffer_len(out);
	struct error error, stale;
	struct command_call call = {
		.context = context,
		.session = session,
		.out = out,
		.mark = mark,
		.error = &error,
		.deferred = deferred,
	};
	bool quiet = false;
	bool paired = fdqueue_enter_line(fds, line->end, &stale) == 0;
	enum command_result result = COMMAND_ERROR;

	context->stats->commands++;
	if (command_parse(context, line, &error) < 0) {
		fdqueue_drop(fds, line->end);
	} else if (!paired) {
		error = stale;
	} else {
		command_expect(context, session);
		result = command_run_with_fds(&call, fds, line, &quiet);
		/* The line is not going to stay. */
		registry_expect_watcher(context->registry,
		    (struct slice){ NULL, 0 });
	}
	if (result == COMMAND_DONE && !quiet) {
		message_reply_end(out);
		return result;
	}
	buffer_truncate(out, mark);
	if (result == COMMAND_ERROR) {
		context->stats->errors[error.code]++;
		refusal_log_error(context->refusals, &session->peer,
		    wallclock_monotonic(context->clock), &error);
		command_reply_error(context, &error, line->number, out);
	} else if (result == COMMAND_LATER)
		(*deferred)->quiet = quiet;
	return result;
}

enum command_result
command_defer(struct command_call *call,
    bool (*step)(struct command_context *, struct session *,
	struct command_deferred *, struct buffer *))
{
	struct slice id = command_read_id(call->context);
	struct command_deferred *deferred = memory_zalloc(sizeof(*deferred));

	deferred->step = step;
	deferred->id_len = id.len;
	if (id.len > 0)
		memcpy(deferred->id, id.p, id.len);
	deferred->iteration = ev_iteration(call->context->loop);
	*call->deferred = deferred;
	return COMMAND_LATER;
}

enum command_result
command_continue(struct command_context *context, struct session *session,
    struct command_deferred **deferred, struct buffer *out)
{
	struct command_deferred *d = *deferred;
	size_t mark = buffer_len(out);

	message_reply_begin(out, (struct slice){ d->id, d->id_len });
	if (!d->step(context, session, d, out)) {
		buffer_truncate(out, mark);
		return COMMAND_LATER;
	}
	if (d->quiet)
		buffer_truncate(out, mark);
	else
		message_reply_end(out);
	free(d);
	*deferred = NULL;
	return COMMAND_DONE;
}
