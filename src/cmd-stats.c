#include "config.h"

#include <sys/resource.h>

#include "command.h"
#include "log.h"
#include "put.h"
#include "watchers/classes.h"

/* The verbs that look at the daemon and its sessions. */

/* --- list ----------------------------------------------------------------- */

#define LIST_MAX 1000
/* Sessions that one command looks at, those of other uids included. */
#define LIST_VISITS 4000
/* Of the entries: what is left is for the id and the frame. */
#define LIST_SIZE_MAX (LINE_SIZE_MAX - JSON_SIZE_MAX - 1024)

struct list_args {
	uint32_t given;
	struct slice session;
	int64_t uid;
	struct name after;
	int64_t limit;
};

enum { LIST_SESSION, LIST_UID, LIST_AFTER, LIST_LIMIT };

static const struct param list_params[] = {
	[LIST_SESSION] = PARAM("session", PARAM_STRING, struct list_args,
	    session),
	[LIST_UID] = PARAM("uid", PARAM_INTEGER, struct list_args, uid,
	    .min = 0, .max = UINT32_MAX - 1),
	[LIST_AFTER] = PARAM("after", PARAM_NAME, struct list_args, after),
	[LIST_LIMIT] = PARAM("limit", PARAM_INTEGER, struct list_args, limit,
	    .min = 1, .max = LIST_MAX),
};

/* A page of entries, written straight into the reply. */
struct page {
	struct buffer *out;
	size_t start; /* of the reply's entries */
	size_t mark;  /* of the entry that is being written */
	int64_t left; /* entries */
};

static void
page_begin(struct page *page, const struct command_call *call, const char *what)
{
	const struct list_args *args = call->args;

	put_member(call->out, what);
	buffer_putc(call->out, '[');
	*page = (struct page){ .out = call->out };
	page->start = buffer_len(call->out);
	page->left = args->given & PARAM_BIT(LIST_LIMIT) ? args->limit :
							   LIST_MAX;
}

static void
page_begin_entry(struct page *page)
{
	page->mark = buffer_len(page->out);
	if (page->mark > page->start)
		buffer_putc(page->out, ',');
	buffer_putc(page->out, '{');
}

/* Returns false if there was no room for it: the page is full. */
static bool
page_end_entry(struct page *page)
{
	buffer_putc(page->out, '}');
	if (buffer_len(page->out) - page->start > LIST_SIZE_MAX) {
		buffer_truncate(page->out, page->mark);
		return false;
	}
	page->left--;
	return true;
}

/* --- sessions ------------------------------------------------------------- */

static void
list_put_session(const struct command_call *call, const struct session *s)
{
	const struct command_context *context = call->context;
	struct buffer *b = call->out;
	char command[4 * sizeof(s->peer.command)];

	log_escape(command, sizeof(command), s->peer.command,
	    strlen(s->peer.command));
	put_member(b, "session");
	put_string(b, s->id.name, strlen(s->id.name));
	put_key(b, "number");
	put_u64(b, s->id.number);
	put_key(b, "uid");
	put_u64(b, s->peer.uid);
	put_key(b, "pid");
	put_i64(b, s->peer.pid);
	put_key(b, "command");
	put_string(b, command, strlen(command));
	put_key(b, "age");
	put_time(b, wallclock_monotonic(context->clock) - s->created);
	put_key(b, "watchers");
	put_u64(b, s->names.count);
	put_key(b, "children");
	put_u64(b, s->children.n);
	put_key(b, "pending");
	put_u64(b, session_n_ready(s));
	put_key(b, "held");
	put_u64(b, s->n_held);
	put_key(b, "unsent");
	put_u64(b, s == call->session ? call->mark : context->unsent(s));
}

static bool
list_shows(const struct command_call *call, const struct session *s)
{
	const struct list_args *args = call->args;
	uid_t uid = call->session->peer.uid;

	if (args->given & PARAM_BIT(LIST_UID))
		return s->peer.uid == (uid_t)args->uid;
	return uid == 0 || s->peer.uid == uid;
}

static int
list_parse_number(const struct command_call *call, uint64_t *number)
{
	const struct list_args *args = call->args;
	struct slice text = args->after.json;

	*number = 0;
	if (!(args->given & PARAM_BIT(LIST_AFTER)))
		return 0;
	if (text.p[0] == '"')
		return error_set(call->error, ERROR_INVALID_ARGUMENT,
		    "member \"after\" is a string, expected the integer that "
		    "\"next\" of the page before was");
	for (size_t i = 0; i < text.len; i++)
		*number = 10 * *number + (uint64_t)(text.p[i] - '0');
	return 0;
}

static enum command_result
list_sessions(struct command_call *call)
{
	struct registry *registry = call->context->registry;
	size_t visits = LIST_VISITS;
	uint64_t number, next;
	struct session *s = NULL;
	struct page page;

	if (list_parse_number(call, &number) < 0)
		return COMMAND_ERROR;
	page_begin(&page, call, "sessions");
	for (next = number; page.left > 0; number = next) {
		s = session_next_by_number(registry, &next, &visits);
		if (s == NULL)
			break;
		if (!list_shows(call, s))
			continue;
		page_begin_entry(&page);
		list_put_session(call, s);
		if (!page_end_entry(&page))
			break;
	}
	buffer_putc(call->out, ']');
	if (s == NULL && visits > 0)
		return COMMAND_DONE;
	put_key(call->out, "next");
	put_u64(call->out, s == NULL ? next : number);
	return COMMAND_DONE;
}

/* --- watchers ------------------------------------------------------------- */

static void
list_put_watcher(struct buffer *b, const struct watcher *w)
{
	struct slice name = watcher_name(w);

	put_member(b, "watcher");
	buffer_append(b, name.p, name.len);
	put_key(b, "type");
	put_string(b, w->class->name.p, w->class->name.len);
	put_watcher_state(b, w);
}

static enum command_result
list_watchers(struct command_call *call)
{
	const struct list_args *args = call->args;
	uid_t uid = args->given & PARAM_BIT(LIST_UID) ? (uid_t)args->uid :
							call->session->peer.uid;
	struct session *s = session_find(call->context->registry, uid,
	    args->session, call->error);
	const struct watcher *w, *last = NULL;
	struct page page;

	if (s == NULL)
		return COMMAND_ERROR;
	w = TAILQ_FIRST(&s->watchers);
	if (args->given & PARAM_BIT(LIST_AFTER)) {
		last = session_find_watcher_for(s, call->session, "after",
		    &args->after, call->error);
		if (last == NULL)
			return COMMAND_ERROR;
		w = TAILQ_NEXT(last, entry);
	}
	page_begin(&page, call, "watchers");
	for (; w != NULL && page.left > 0; w = TAILQ_NEXT(w, entry)) {
		page_begin_entry(&page);
		list_put_watcher(call->out, w);
		if (!page_end_entry(&page))
			break;
		last = w;
	}
	buffer_putc(call->out, ']');
	if (w != NULL) {
		struct slice name = watcher_name(last);

		put_key(call->out, "next");
		buffer_append(call->out, name.p, name.len);
	}
	return COMMAND_DONE;
}

static enum command_result
command_list_run(struct command_call *call)
{
	const struct list_args *args = call->args;
	uid_t uid = call->session->peer.uid;

	if ((args->given & PARAM_BIT(LIST_UID)) && (uid_t)args->uid != uid &&
	    uid != 0)
		return error_set(call->error, ERROR_PERMISSION_DENIED,
		    "member \"uid\" is %jd and the peer's uid is %ju: only uid "
		    "0 sees the sessions of others",
		    (intmax_t)args->uid, (uintmax_t)uid);
	return args->given & PARAM_BIT(LIST_SESSION) ? list_watchers(call) :
						       list_sessions(call);
}

const struct command command_list = {
	.name = { "list", 4 },
	.params = list_params,
	.n_params = N_PARAMS(list_params),
	.run = command_list_run,
};

/* --- stats ---------------------------------------------------------------- */

static void
stats_put_errors(struct buffer *b, const struct stats *stats)
{
	put_member(b, "errors");
	buffer_putc(b, '{');
	for (int i = ERROR_NONE + 1; i < ERROR_CODES; i++) {
		put_member(b, error_names[i]);
		put_u64(b, stats->errors[i]);
	}
	buffer_putc(b, '}');
}

static void
stats_put_events(struct buffer *b, const struct stats *stats)
{
	put_member(b, "events");
	buffer_putc(b, '{');
	for (size_t i = 0; watcher_classes[i] != NULL; i++) {
		put_member(b, watcher_classes[i]->name.p);
		put_u64(b, stats->events[i]);
	}
	buffer_putc(b, '}');
}

static enum command_result
command_stats_run(struct command_call *call)
{
	const struct command_context *context = call->context;
	const struct stats *stats = context->stats;
	struct buffer *b = call->out;
	struct rusage usage;

	put_member(b, "uptime");
	put_time(b, wallclock_monotonic(context->clock) - stats->since);
	put_key(b, "sessions");
	put_u64(b, context->registry->table.count);
	put_key(b, "commands");
	put_u64(b, stats->commands);
	stats_put_errors(b, stats);
	stats_put_events(b, stats);
	put_key(b, "merged");
	put_u64(b, stats->merged);
	put_key(b, "reads");
	put_u64(b, stats->reads);
	put_key(b, "received");
	put_u64(b, stats->received);
	put_key(b, "writes");
	put_u64(b, stats->writes);
	put_key(b, "written");
	put_u64(b, stats->written);
	put_key(b, "wakeups");
	put_u64(b, stats->wakeups);
	put_key(b, "peak_memory");
	getrusage(RUSAGE_SELF, &usage);
	put_u64(b, (uint64_t)usage.ru_maxrss * 1024);
	return COMMAND_DONE;
}

const struct command command_stats = {
	.name = { "stats", 5 },
	.run = command_stats_run,
};
