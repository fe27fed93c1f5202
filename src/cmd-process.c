#include "config.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "children.h"
#include "command.h"
#include "memory.h"
#include "put.h"
#include "signals.h"
#include "watchers/classes.h"

/* The verbs that act on processes and signals. */

/* Watchers that one iteration tells of a fed signal. */
#define FEED_CHUNK 1000

/* --- spawn ---------------------------------------------------------------- */

struct spawn_args {
	struct watcher_args base;
	const struct member *argv, *env;
	struct slice cwd;
	int64_t stdio[3];
	struct slice on_end;
	bool trace;
	int64_t priority;
	struct slice data;
	bool hold, release, end;
	int64_t fds;
};

_Static_assert(sizeof(struct spawn_args) <= COMMAND_ARGS_MAX, "room");

enum {
	SPAWN_WATCHER,
	SPAWN_ARGV,
	SPAWN_ENV,
	SPAWN_CWD,
	SPAWN_STDIN,
	SPAWN_STDOUT,
	SPAWN_STDERR,
	SPAWN_ON_END,
	SPAWN_TRACE,
	SPAWN_PRIORITY,
	SPAWN_DATA,
	SPAWN_HOLD,
	SPAWN_RELEASE,
	SPAWN_END,
	SPAWN_FDS,
};

#define STDIO_PARAM(name, i)                                              \
	PARAM(name, PARAM_INTEGER, struct spawn_args, stdio[i], .min = 0, \
	    .max = FDS_MAX - 1)

static const struct param spawn_params[] = {
	[SPAWN_WATCHER] = WATCHER_PARAM(),
	[SPAWN_ARGV] = PARAM("argv", PARAM_STRINGS, struct spawn_args, argv,
	    .required = true),
	[SPAWN_ENV] = PARAM("env", PARAM_STRING_MAP, struct spawn_args, env),
	[SPAWN_CWD] = PARAM("cwd", PARAM_PATH, struct spawn_args, cwd),
	[SPAWN_STDIN] = STDIO_PARAM("stdin", 0),
	[SPAWN_STDOUT] = STDIO_PARAM("stdout", 1),
	[SPAWN_STDERR] = STDIO_PARAM("stderr", 2),
	[SPAWN_ON_END] = PARAM("on_end", PARAM_STRING, struct spawn_args,
	    on_end),
	[SPAWN_TRACE] = PARAM("trace", PARAM_BOOL, struct spawn_args, trace),
	[SPAWN_PRIORITY] = PARAM("priority", PARAM_INTEGER, struct spawn_args,
	    priority, .min = -PRIORITY_MAX, .max = PRIORITY_MAX),
	[SPAWN_DATA] = PARAM("data", PARAM_JSON, struct spawn_args, data),
	[SPAWN_HOLD] = PARAM("hold", PARAM_BOOL, struct spawn_args, hold),
	[SPAWN_RELEASE] = PARAM("release", PARAM_BOOL, struct spawn_args,
	    release),
	[SPAWN_END] = PARAM("end", PARAM_BOOL, struct spawn_args, end),
	[SPAWN_FDS] = PARAM("fds", PARAM_INTEGER, struct spawn_args, fds,
	    .min = 0, .max = FDS_MAX),
};

/* --- its lists of strings ------------------------------------------------- */

/* Strings of their own, ending with NULL. */
struct strings {
	char **items;
	size_t n, size;
};

static void
strings_add(struct strings *s, char *string)
{
	if (s->n + 1 >= s->size) {
		s->size = s->size == 0 ? 16 : 2 * s->size;
		s->items = memory_realloc(s->items,
		    s->size * sizeof(*s->items));
	}
	s->items[s->n++] = string;
	s->items[s->n] = NULL;
}

static void
strings_fini(struct strings *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->items[i]);
	free(s->items);
}

static void
strings_add_pair(struct strings *s, const char *name, const char *value,
    size_t len)
{
	size_t size = strlen(name) + len + 2;
	char *pair = memory_alloc(size);

	snprintf(pair, size, "%s=%.*s", name, (int)len, value);
	strings_add(s, pair);
}

/*
 * What speaks for evd's own unit, or for that of the client: a child is
 * neither.
 */
static bool
env_is_of_a_unit(const char *name)
{
	return strncmp(name, "NOTIFY_", 7) == 0 ||
	    strncmp(name, "LISTEN_", 7) == 0 ||
	    strncmp(name, "WATCHDOG_", 9) == 0;
}

struct env {
	struct strings strings;
	struct error *error;
};

static bool
env_add(void *arg, const char *name, struct slice value)
{
	struct env *env = arg;
	char found[EXCERPT_SIZE];

	if (*name == '\0' || strchr(name, '=') != NULL) {
		error_set(env->error, ERROR_INVALID_ARGUMENT,
		    "member \"env\" has a variable named \"%s\", expected a "
		    "name that is neither empty nor has a =",
		    message_excerpt(found,
			(struct slice){ name, strlen(name) }));
		return false;
	}
	if (!env_is_of_a_unit(name))
		strings_add_pair(&env->strings, name, value.p, value.len);
	return true;
}

/* Of evd's own environment no more than where and who it is. */
static void
env_add_default(struct strings *env)
{
	static const char *const names[] = { "PATH", "HOME", "USER", "SHELL" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = getenv(names[i]);

		if (value != NULL)
			strings_add_pair(env, names[i], value, strlen(value));
	}
}

/* --- its run -------------------------------------------------------------- */

struct spawn {
	struct strings argv;
	struct env env;
	char *cwd;
	struct process_spec spec;
	bool kill;
};

static void
spawn_fini(struct spawn *spawn)
{
	strings_fini(&spawn->argv);
	strings_fini(&spawn->env.strings);
	free(spawn->cwd);
}

static int
spawn_take_argv(struct spawn *spawn, const struct member *argv,
    struct error *error)
{
	struct slice item = { NULL, 0 };

	for (size_t i = 0; i < message_items(argv); i++) {
		message_item(argv, i, &item);
		strings_add(&spawn->argv, memory_copy(item.p, item.len));
	}
	if (spawn->argv.n > 0 && *spawn->argv.items[0] != '\0')
		return 0;
	return error_set(error, ERROR_INVALID_ARGUMENT,
	    "member \"argv\" names no program, expected it as its first "
	    "string");
}

static int
spawn_take_stdio(struct spawn *spawn, const struct command_call *call)
{
	const struct spawn_args *args = call->args;

	for (int i = 0; i < 3; i++) {
		spawn->spec.fds[i] = -1;
		if (!(args->base.given & PARAM_BIT(SPAWN_STDIN + i)))
			continue;
		if ((size_t)args->stdio[i] >= call->n_fds)
			return error_set(call->error, ERROR_INVALID_ARGUMENT,
			    "member \"%s\" is %jd, expected the index of one "
			    "of the %zu descriptors that were passed along "
			    "(from 0)",
			    spawn_params[SPAWN_STDIN + i].name.p,
			    (intmax_t)args->stdio[i], call->n_fds);
		spawn->spec.fds[i] = call->fds[args->stdio[i]];
	}
	return 0;
}

static int
spawn_take_on_end(struct spawn *spawn, const struct spawn_args *args,
    struct error *error)
{
	char found[EXCERPT_SIZE];

	spawn->kill = !(args->base.given & PARAM_BIT(SPAWN_ON_END)) ||
	    slice_is(args->on_end, "kill");
	if (spawn->kill || slice_is(args->on_end, "leave"))
		return 0;
	return error_set(error, ERROR_INVALID_ARGUMENT,
	    "member \"on_end\" is \"%s\", expected \"kill\" or \"leave\"",
	    message_excerpt(found, args->on_end));
}

/* Everything that can be refused before anything is done. */
static int
spawn_init(struct spawn *spawn, const struct command_call *call)
{
	const struct spawn_args *args = call->args;
	uint32_t given = args->base.given;

	*spawn = (struct spawn){ .env.error = call->error };
	if (spawn_take_argv(spawn, args->argv, call->error) < 0 ||
	    spawn_take_stdio(spawn, call) < 0 ||
	    spawn_take_on_end(spawn, args, call->error) < 0)
		return -1;
	if (!(given & PARAM_BIT(SPAWN_ENV)))
		env_add_default(&spawn->env.strings);
	else if (!message_each(args->env, env_add, &spawn->env))
		return -1;
	/* So that there is a list also where it is empty. */
	strings_add(&spawn->env.strings, NULL);
	spawn->cwd = given & PARAM_BIT(SPAWN_CWD) ?
	    memory_copy(args->cwd.p, args->cwd.len) :
	    memory_strdup("/");
	spawn->spec.argv = spawn->argv.items;
	spawn->spec.env = spawn->env.strings.items;
	spawn->spec.cwd = spawn->cwd;
	return 0;
}

/* Inactive, and of no process yet.  NULL with the error. */
static struct watcher *
spawn_watch(struct command_call *call)
{
	static const struct {
		uint32_t given;
		char bytes[WATCHER_ARGS_MAX];
	} no_args;
	const struct spawn_args *args = call->args;
	struct session *s = call->session;
	int none = -1;
	struct watch_options options = {
		.priority = args->priority,
		.data = args->data,
		.hold = args->base.given & PARAM_BIT(SPAWN_HOLD) ? args->hold :
								   s->hold_all,
		.release = args->release,
		.end = args->end,
		.fd = &none,
	};

	return session_watch(s,
	    watcher_class_find((struct slice){ "child", 5 }),
	    &args->base.watcher, &options, &no_args, call->error);
}

/* What only makes sense with a watcher. */
static int
spawn_check_watcher(const struct command_call *call)
{
	const struct spawn_args *args = call->args;
	static const int of_watcher[] = { SPAWN_TRACE, SPAWN_PRIORITY,
		SPAWN_DATA, SPAWN_HOLD, SPAWN_RELEASE, SPAWN_END };

	if (args->base.given & PARAM_BIT(SPAWN_WATCHER))
		return 0;
	for (size_t i = 0; i < N_PARAMS(of_watcher); i++)
		if (args->base.given & PARAM_BIT(of_watcher[i]))
			return error_set(call->error, ERROR_INVALID_ARGUMENT,
			    "member \"watcher\" is missing, expected it "
			    "beside \"%s\"",
			    spawn_params[of_watcher[i]].name.p);
	return 0;
}

static enum command_result
spawn_run(struct command_call *call, struct spawn *spawn)
{
	const struct spawn_args *args = call->args;
	struct cleared none;
	struct watcher *w = NULL;
	struct child *child;

	if ((args->base.given & PARAM_BIT(SPAWN_WATCHER))) {
		w = spawn_watch(call);
		if (w == NULL)
			return COMMAND_ERROR;
	}
	child = child_spawn(&call->session->children, &spawn->spec, spawn->kill,
	    call->error);
	if (child == NULL) {
		if (w != NULL)
			session_unwatch(call->session, w, &none);
		return COMMAND_ERROR;
	}
	put_member(call->out, "pid");
	put_i64(call->out, child->pid);
	if (w == NULL)
		return COMMAND_DONE;
	w->class->adopt(w, child, args->trace);
	return watcher_start(w, &none, call->error);
}

static enum command_result
command_spawn_run(struct command_call *call)
{
	enum command_result result = COMMAND_ERROR;
	struct spawn spawn;

	if (spawn_check_watcher(call) < 0)
		return COMMAND_ERROR;
	if (spawn_init(&spawn, call) == 0)
		result = spawn_run(call, &spawn);
	spawn_fini(&spawn);
	return result;
}

const struct command command_spawn = {
	.name = { "spawn", 5 },
	.params = spawn_params,
	.n_params = N_PARAMS(spawn_params),
	.right = RIGHT_SPAWN,
	.run = command_spawn_run,
};

/* --- kill ----------------------------------------------------------------- */

struct kill_args {
	struct watcher_args base;
	int64_t pid;
	int signum;
	bool group;
};

enum { KILL_WATCHER, KILL_PID, KILL_SIGNUM, KILL_GROUP };

static const struct param kill_params[] = {
	[KILL_WATCHER] = WATCHER_PARAM(),
	[KILL_PID] = PARAM("pid", PARAM_INTEGER, struct kill_args, pid,
	    .min = 1, .max = INT32_MAX),
	[KILL_SIGNUM] = PARAM("signum", PARAM_SIGNAL, struct kill_args, signum),
	[KILL_GROUP] = PARAM("group", PARAM_BOOL, struct kill_args, group),
};

static struct child *
kill_find_by_pid(const struct command_call *call, pid_t pid)
{
	struct child *child = children_find(call->session->children.all, pid);

	if (child != NULL && child->set == &call->session->children)
		return child;
	error_set_system(call->error, ESRCH,
	    "member \"pid\" is %d, expected a child that this session has "
	    "spawned and that has not ended",
	    (int)pid);
	return NULL;
}

static struct child *
kill_find_by_watcher(const struct command_call *call, const struct name *name)
{
	struct watcher *w = session_find_watcher(call->session, name,
	    call->error);
	struct child *child;

	if (w == NULL)
		return NULL;
	child = w->class->spawned == NULL ? NULL : w->class->spawned(w);
	if (child == NULL)
		error_set_system(call->error, ESRCH,
		    "member \"watcher\" names a %s, expected the child of a "
		    "spawn that has not ended",
		    w->class->name.p);
	return child;
}

static struct child *
kill_find(const struct command_call *call)
{
	const struct kill_args *args = call->args;
	uint32_t given = args->base.given &
	    (PARAM_BIT(KILL_WATCHER) | PARAM_BIT(KILL_PID));

	if (given == PARAM_BIT(KILL_WATCHER))
		return kill_find_by_watcher(call, &args->base.watcher);
	if (given == PARAM_BIT(KILL_PID))
		return kill_find_by_pid(call, (pid_t)args->pid);
	error_set(call->error, ERROR_INVALID_ARGUMENT,
	    "members \"watcher\" and \"pid\" are %s, expected one of them",
	    given == 0 ? "missing" : "both there");
	return NULL;
}

static enum command_result
command_kill_run(struct command_call *call)
{
	const struct kill_args *args = call->args;
	int signum = args->base.given & PARAM_BIT(KILL_SIGNUM) ? args->signum :
								 SIGTERM;
	struct child *child = kill_find(call);
	int err;

	if (child == NULL)
		return COMMAND_ERROR;
	err = child_signal(child, signum, args->group);
	if (err < 0)
		return error_set_system(call->error, -err,
		    "signal %d to child %d", signum, (int)child->pid);
	return COMMAND_DONE;
}

const struct command command_kill = {
	.name = { "kill", 4 },
	.params = kill_params,
	.n_params = N_PARAMS(kill_params),
	.right = RIGHT_SPAWN,
	.run = command_kill_run,
};

/* --- feed_signal ---------------------------------------------------------- */

struct feed_signal_args {
	uint32_t given;
	int signum;
};

static const struct param feed_signal_params[] = {
	PARAM("signum", PARAM_SIGNAL, struct feed_signal_args, signum,
	    .required = true),
};

/* number: the signal. */
static bool
feed_signal_step(struct command_context *context, struct session *s,
    struct command_deferred *deferred, struct buffer *b)
{
	(void)context;
	(void)b;
	return signals_feed_some(s->host.fed, (int)deferred->number,
	    FEED_CHUNK);
}

static enum command_result
command_feed_signal_run(struct command_call *call)
{
	const struct feed_signal_args *args = call->args;
	struct signals_set *fed = call->session->host.fed;

	if (fed == NULL)
		return COMMAND_DONE;
	signals_feed(fed, args->signum);
	if (signals_feed_some(fed, args->signum, FEED_CHUNK))
		return COMMAND_DONE;
	command_defer(call, feed_signal_step);
	(*call->deferred)->number = (uint64_t)args->signum;
	return COMMAND_LATER;
}

const struct command command_feed_signal = {
	.name = { "feed_signal", 11 },
	.params = feed_signal_params,
	.n_params = N_PARAMS(feed_signal_params),
	.run = command_feed_signal_run,
};
