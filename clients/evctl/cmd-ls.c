#include "config.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "put.h"

#include "grid.h"
#include "show.h"
#include "value.h"
#include "wire.h"

/* How often a list is begun again, when watchers go while it is read. */
#define ATTEMPTS_MAX 100

struct ls {
	const struct evctl *evctl;
	struct wire wire;
	struct message message;
	bool gone; /* the session whose watchers were wanted */
};

/* --- pages ---------------------------------------------------------------- */

static void
ls_put_value(struct buffer *b, const json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

	buffer_append(b, text, strlen(text));
	free(text);
}

/* of: members that say which list, beginning with a comma. */
static void
ls_put_command(struct ls *ls, const struct buffer *of, const json_t *after)
{
	struct buffer *b = &ls->wire.out;

	buffer_puts(b, "{\"cmd\":\"list\"");
	if (buffer_len(of) > 0)
		buffer_append(b, buffer_data(of), buffer_len(of));
	if (after != NULL) {
		put_key(b, "after");
		ls_put_value(b, after);
	}
	buffer_puts(b, "}\n");
}

/* What is listed may go at any time. */
static bool
ls_is_gone(struct ls *ls)
{
	const struct member *error = message_find(&ls->message, "error");
	const char *code = error == NULL ?
	    NULL :
	    json_string_value(json_object_get(error->tree, "code"));

	if (code == NULL)
		return false;
	ls->gone = strcmp(code, "no-such-session") == 0;
	return ls->gone || strcmp(code, "no-such-watcher") == 0;
}

/* The next page: a result, or NULL if what it was to begin after has gone. */
static const json_t *
ls_next_page(struct ls *ls)
{
	const struct member *result;

	if (wire_next(&ls->wire, INFINITY) != WIRE_LINE)
		wire_die(&ls->wire);
	wire_parse(&ls->wire, &ls->message);
	if (ls_is_gone(ls))
		return NULL;
	wire_check_error(&ls->message);
	wire_is_end(&ls->wire, &ls->message);
	result = message_find(&ls->message, "result");
	if (result == NULL)
		wire_die(&ls->wire);
	return result->tree;
}

/* All pages of a list, or NULL if it must be begun again. */
static json_t *
ls_try_list(struct ls *ls, const struct buffer *of, const char *what)
{
	json_t *all = json_array();
	json_t *after = NULL;
	const json_t *page;

	do {
		ls_put_command(ls, of, after);
		json_decref(after);
		page = ls_next_page(ls);
		if (page == NULL) {
			json_decref(all);
			return NULL;
		}
		json_array_extend(all, json_object_get(page, what));
		after = json_incref(json_object_get(page, "next"));
	} while (after != NULL);
	return all;
}

/* json_decref() it; NULL: the session has gone. */
static json_t *
ls_list(struct ls *ls, const struct buffer *of, const char *what)
{
	json_t *all;

	ls->gone = false;
	for (int i = 0; i < ATTEMPTS_MAX && !ls->gone; i++) {
		all = ls_try_list(ls, of, what);
		if (all != NULL)
			return all;
	}
	if (!ls->gone)
		evctl_die(STATUS_ERROR,
		    "the watchers change faster than they can be listed");
	return NULL;
}

/* --- sessions ------------------------------------------------------------- */

static void
ls_print_json(const json_t *entry)
{
	char *text = json_dumps(entry, JSON_COMPACT | JSON_REAL_PRECISION(15));

	show_line((struct slice){ text, strlen(text) });
	free(text);
}

static const char *
ls_string(const json_t *entry, const char *member)
{
	const char *text = json_string_value(json_object_get(entry, member));

	return text == NULL ? "" : text;
}

static void
ls_add_age(struct grid *grid, const json_t *age)
{
	static const struct {
		double seconds;
		char unit;
	} units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
	double seconds = json_number_value(age);
	char text[32];
	size_t i = 0;

	while (i < 3 && seconds < 2 * units[i].seconds)
		i++;
	snprintf(text, sizeof(text), "%.0f%c",
	    floor(seconds / units[i].seconds), units[i].unit);
	grid_add_text(grid, text);
}

static const struct grid_column ls_session_columns[] = {
	{ "SESSION", false, true },
	{ "UID", true, false },
	{ "PID", true, false },
	{ "COMMAND", false, true },
	{ "AGE", true, false },
	{ "WATCHERS", true, false },
	{ "CHILDREN", true, false },
	{ "PENDING", true, false },
	{ "HELD", true, false },
	{ "UNSENT", true, false },
};

static void
ls_add_session(struct grid *grid, const json_t *entry)
{
	static const char *const before[] = { "uid", "pid" };
	static const char *const behind[] = { "watchers", "children", "pending",
		"held", "unsent" };

	grid_add_text(grid, ls_string(entry, "session"));
	for (size_t i = 0; i < 2; i++)
		grid_add_number(grid,
		    json_integer_value(json_object_get(entry, before[i])));
	grid_add_text(grid, ls_string(entry, "command"));
	ls_add_age(grid, json_object_get(entry, "age"));
	for (size_t i = 0; i < 5; i++)
		grid_add_number(grid,
		    json_integer_value(json_object_get(entry, behind[i])));
}

static void
ls_print_sessions(struct ls *ls, const json_t *sessions)
{
	struct grid grid;
	const json_t *entry;
	size_t i;

	grid_init(&grid, ls_session_columns,
	    sizeof(ls_session_columns) / sizeof(ls_session_columns[0]));
	json_array_foreach(sessions, i, entry)
	{
		if (ls->evctl->readable)
			ls_add_session(&grid, entry);
		else
			ls_print_json(entry);
	}
	if (ls->evctl->readable)
		grid_print(&grid);
	grid_fini(&grid);
}

/* --- watchers ------------------------------------------------------------- */

static const struct grid_column ls_watcher_columns[] = {
	{ "SESSION", false, true },
	{ "WATCHER", false, true },
	{ "TYPE", false, false },
	{ "ACTIVE", false, false },
	{ "PRIORITY", true, false },
	{ "PENDING", true, false },
	{ "HELD", true, false },
	{ "FLAGS", false, true },
};

/* Firings that no event was written for; nothing if there are none. */
static void
ls_add_pending(struct grid *grid, const json_t *pending)
{
	if (pending == NULL)
		grid_add_text(grid, "");
	else
		grid_add_number(grid,
		    1 +
			json_integer_value(json_object_get(pending,
			    "overrun")));
}

static void
ls_add_flags(struct grid *grid, const json_t *entry)
{
	static const char *const names[] = { "hold", "once", "release", "end" };
	char flags[64] = "";

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!json_is_true(json_object_get(entry, names[i])))
			continue;
		if (flags[0] != '\0')
			strcat(flags, ",");
		strcat(flags, names[i]);
	}
	grid_add_text(grid, flags);
}

static void
ls_add_watcher(struct grid *grid, const char *session, const json_t *entry)
{
	const json_t *name = json_object_get(entry, "watcher");
	const json_t *held = json_object_get(entry, "held");

	grid_add_text(grid, session);
	if (json_is_string(name))
		grid_add(grid, json_string_value(name),
		    json_string_length(name));
	else
		grid_add_number(grid, json_integer_value(name));
	grid_add_text(grid, ls_string(entry, "type"));
	grid_add_text(grid,
	    json_is_true(json_object_get(entry, "active")) ? "yes" : "no");
	grid_add_number(grid,
	    json_integer_value(json_object_get(entry, "priority")));
	ls_add_pending(grid, json_object_get(entry, "pending"));
	if (held == NULL)
		grid_add_text(grid, "");
	else
		grid_add_number(grid, json_integer_value(held));
	ls_add_flags(grid, entry);
}

static void
ls_print_watcher(struct ls *ls, struct grid *grid, const char *session,
    json_t *entry)
{
	json_t *line;

	if (ls->evctl->readable) {
		ls_add_watcher(grid, session, entry);
		return;
	}
	line = json_pack("{s:s}", "session", session);
	json_object_update(line, entry);
	ls_print_json(line);
	json_decref(line);
}

/* Returns false if the session has gone. */
static bool
ls_print_watchers_of(struct ls *ls, struct grid *grid, const char *session,
    const json_t *uid)
{
	json_t *watchers, *entry;
	struct buffer of;
	size_t i;

	buffer_init(&of, NULL);
	put_key(&of, "session");
	value_put_string(&of, "SESSION", session);
	if (uid != NULL) {
		put_key(&of, "uid");
		ls_put_value(&of, uid);
	}
	watchers = ls_list(ls, &of, "watchers");
	buffer_fini(&of);
	json_array_foreach(watchers, i, entry)
	    ls_print_watcher(ls, grid, session, entry);
	json_decref(watchers);
	return watchers != NULL;
}

static void
ls_print_named(struct ls *ls, struct grid *grid)
{
	for (char **session = ls->evctl->args; *session != NULL; session++)
		if (!ls_print_watchers_of(ls, grid, *session, NULL))
			evctl_die(STATUS_REFUSED, "no session is called '%s'",
			    *session);
}

static void
ls_print_watchers(struct ls *ls, const json_t *sessions)
{
	struct grid grid;
	const json_t *entry;
	size_t i;

	grid_init(&grid, ls_watcher_columns,
	    sizeof(ls_watcher_columns) / sizeof(ls_watcher_columns[0]));
	ls_print_named(ls, &grid);
	json_array_foreach(sessions, i, entry) ls_print_watchers_of(ls, &grid,
	    ls_string(entry, "session"), json_object_get(entry, "uid"));
	if (ls->evctl->readable)
		grid_print(&grid);
	grid_fini(&grid);
}

/* --- ls ------------------------------------------------------------------- */

static int
subcommand_ls_run(struct evctl *evctl)
{
	struct ls ls = { .evctl = evctl };
	bool watchers = evctl->options[OPTION_WATCHERS] != NULL;
	struct buffer all;
	json_t *sessions = NULL;

	if (watchers && evctl->n_args > 0)
		evctl_usage("--watchers is for all sessions, and '%s' names "
			    "one",
		    evctl->args[0]);
	wire_init(&ls.wire);
	message_init(&ls.message);
	wire_open(&ls.wire, evctl, &ls.message);
	buffer_init(&all, NULL);
	if (evctl->n_args == 0)
		sessions = ls_list(&ls, &all, "sessions");
	if (watchers || evctl->n_args > 0)
		ls_print_watchers(&ls, sessions);
	else
		ls_print_sessions(&ls, sessions);
	json_decref(sessions);
	message_fini(&ls.message);
	wire_close(&ls.wire);
	return STATUS_EVENT;
}

const struct subcommand subcommand_ls = {
	.name = "ls",
	.usage = "[SESSION...]",
	.help = "List the sessions, or the watchers of some",
	.options = OPTION_BIT(OPTION_WATCHERS),
	.args_max = -1,
	.run = subcommand_ls_run,
};
