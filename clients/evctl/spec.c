#include "config.h"

#include "spec.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

#include "value.h"

#define ARGS_MAX    2
#define MEMBERS_MAX 64

enum arg_kind {
	ARG_VALUE,
	ARG_NAME, /* of a signal or a zone: a string, whatever it looks like */
	ARG_PATH, /* made absolute */
	ARG_SOURCE, /* a descriptor of ours, or a path */
};

struct spec_arg {
	const char *member; /* NULL: no more */
	enum arg_kind kind;
	const char *otherwise; /* JSON, if it is not given */
};

static const struct spec_type {
	const char *name;
	const char *usage;
	struct spec_arg args[ARGS_MAX + 1];
	bool held; /* always: it says "it is so now" */
} spec_types[] = {
	{ "timer", "AFTER [REPEAT]",
	    { { "after", ARG_VALUE, NULL }, { "repeat", ARG_VALUE, NULL } },
	    false },
	{ "periodic", "INTERVAL [OFFSET]",
	    { { "interval", ARG_VALUE, NULL }, { "offset", ARG_VALUE, NULL } },
	    false },
	{ "scheduler", "CALENDAR [TIMEZONE]",
	    { { "calendar", ARG_NAME, NULL }, { "timezone", ARG_NAME, NULL } },
	    false },
	{ "stat", "PATH", { { "path", ARG_PATH, NULL } }, false },
	{ "io", "FD|PATH [r|w|rw]",
	    { { "path", ARG_SOURCE, NULL }, { "events", ARG_VALUE, "\"r\"" } },
	    true },
	{ "child", "PID", { { "pid", ARG_VALUE, NULL } }, false },
	{ "signal", "SIGNAL", { { "signum", ARG_VALUE, NULL } }, false },
	{ "async", "", { { NULL, ARG_VALUE, NULL } }, false },
	{ "idle", "", { { NULL, ARG_VALUE, NULL } }, true },
	{ "prepare", "", { { NULL, ARG_VALUE, NULL } }, false },
	{ "check", "", { { NULL, ARG_VALUE, NULL } }, false },
	{ "fork", "", { { NULL, ARG_VALUE, NULL } }, false },
};

#define N_TYPES (sizeof(spec_types) / sizeof(spec_types[0]))

/* One of them, while its line is written. */
struct spec {
	struct wire *wire;
	const char *type;
	const struct spec_type *known;	   /* NULL: not in the table */
	struct slice members[MEMBERS_MAX]; /* names of those that words are */
	size_t n_members;
	size_t n_args;
};

void
spec_help(void)
{
	puts("Types and their arguments:\n");
	for (size_t i = 0; i < N_TYPES; i++)
		printf("  %s%s%s\n", spec_types[i].name,
		    *spec_types[i].usage == '\0' ? "" : " ",
		    spec_types[i].usage);
	puts("\nAny other member of evd-protocol(7) is given as MEMBER=VALUE. "
	     "A value that is\nJSON is taken as that, else it is a string.  "
	     "A lone comma stands between several\nwatchers.");
}

/* --- members -------------------------------------------------------------- */

/* The length of the name in NAME=VALUE, 0 if the word is none. */
static size_t
spec_member_len(const char *word)
{
	size_t n = strspn(word, "abcdefghijklmnopqrstuvwxyz_0123456789");

	return n > 0 && word[n] == '=' ? n : 0;
}

static bool
spec_has(const struct spec *spec, const char *member)
{
	for (size_t i = 0; i < spec->n_members; i++)
		if (slice_is(spec->members[i], member))
			return true;
	return false;
}

/* Writes all of a member but its value. */
static void
spec_put_key(struct spec *spec, struct slice member)
{
	struct buffer *b = &spec->wire->out;

	buffer_puts(b, ",\"");
	buffer_append(b, member.p, member.len);
	buffer_puts(b, "\":");
}

static void
spec_put_named(struct spec *spec, const char *member)
{
	spec_put_key(spec, (struct slice){ member, strlen(member) });
}

/* From here on the words have this member, and may not have it again. */
static void
spec_note(struct spec *spec, struct slice member)
{
	for (size_t i = 0; i < spec->n_members; i++)
		if (slice_equal(spec->members[i], member))
			evctl_usage("%s: '%.*s' is given twice", spec->type,
			    (int)member.len, member.p);
	if (spec->n_members == MEMBERS_MAX)
		evctl_usage("%s: more than %d members", spec->type,
		    MEMBERS_MAX);
	spec->members[spec->n_members++] = member;
}

static void
spec_put_member(struct spec *spec, const char *word)
{
	struct slice member = { word, spec_member_len(word) };
	const char *value = word + member.len + 1;

	spec_note(spec, member);
	spec_put_key(spec, member);
	if (slice_is(member, "watcher"))
		value_put_name(&spec->wire->out, word, value);
	else
		value_put(&spec->wire->out, word, value);
}

/* --- arguments ------------------------------------------------------------ */

static void
spec_put_source(struct spec *spec, const char *word)
{
	struct wire *wire = spec->wire;
	int fd = value_parse_fd(word);

	if (fd < 0) {
		value_put_path(&wire->out, "path", word);
		return;
	}
	if (fcntl(fd, F_GETFD) < 0)
		evctl_usage("%s: descriptor %d: %s", spec->type, fd,
		    strerror(errno));
	if (wire->n_fds == WIRE_FDS_MAX)
		evctl_usage("%s: more than %d descriptors", spec->type,
		    WIRE_FDS_MAX);
	wire->fds[wire->n_fds++] = fd;
	buffer_puts(&wire->out, ",\"fds\":1");
}

static void
spec_put_arg(struct spec *spec, const char *word)
{
	const struct spec_arg *arg = spec->known == NULL ?
	    NULL :
	    &spec->known->args[spec->n_args];

	if (arg == NULL || arg->member == NULL)
		evctl_usage("%s: '%s' is an argument too many, expected %s %s "
			    "and MEMBER=VALUE",
		    spec->type, word, spec->type,
		    spec->known == NULL ? "" : spec->known->usage);
	spec_note(spec, (struct slice){ arg->member, strlen(arg->member) });
	spec->n_args++;
	if (arg->kind == ARG_SOURCE) {
		spec_put_source(spec, word);
	} else if (arg->kind == ARG_PATH) {
		value_put_path(&spec->wire->out, arg->member, word);
	} else {
		spec_put_named(spec, arg->member);
		if (arg->kind == ARG_NAME)
			value_put_string(&spec->wire->out, arg->member, word);
		else
			value_put(&spec->wire->out, arg->member, word);
	}
}

/* What the arguments that are not given are otherwise. */
static void
spec_put_otherwise(struct spec *spec)
{
	const struct spec_arg *arg;

	if (spec->known == NULL)
		return;
	for (arg = &spec->known->args[spec->n_args]; arg->member != NULL;
	     arg++) {
		if (arg->otherwise == NULL || spec_has(spec, arg->member))
			continue;
		spec_put_named(spec, arg->member);
		buffer_append(&spec->wire->out, arg->otherwise,
		    strlen(arg->otherwise));
	}
}

/* --- a watcher ------------------------------------------------------------ */

static const struct spec_type *
spec_find_type(const char *name)
{
	for (size_t i = 0; i < N_TYPES; i++)
		if (strcmp(spec_types[i].name, name) == 0)
			return &spec_types[i];
	return NULL;
}

/* The type is the name, and from the second one on has a number. */
static void
spec_put_name(struct spec *spec, const char *name, size_t number)
{
	struct buffer *b = &spec->wire->out;
	char text[128];

	if (spec_has(spec, "watcher"))
		return;
	spec_put_named(spec, "watcher");
	if (name != NULL) {
		value_put_name(b, "--name", name);
		return;
	}
	snprintf(text, sizeof(text), number == 1 ? "%.100s" : "%.100s-%zu",
	    spec->type, number);
	value_put_string(b, "the type", text);
}

static void
spec_put_option(struct spec *spec, const struct evctl *evctl,
    enum evctl_option option, const char *member)
{
	const char *value = evctl->options[option];

	if (value == NULL || spec_has(spec, member))
		return;
	spec_put_named(spec, member);
	value_put_json(&spec->wire->out, member, value);
}

static void
spec_put_words(struct spec *spec, char **words, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		if (spec_member_len(words[i]) > 0)
			spec_put_member(spec, words[i]);
		else
			spec_put_arg(spec, words[i]);
	}
	spec_put_otherwise(spec);
}

static void
spec_put_one(struct wire *wire, const struct evctl *evctl, char **words,
    size_t n, size_t number, struct specs *specs)
{
	struct spec spec = { .wire = wire, .type = words[0] };

	spec.known = spec_find_type(spec.type);
	buffer_puts(&wire->out, "{\"cmd\":\"watch\",\"reply\":false,\"type\":");
	value_put_string(&wire->out, "the type", spec.type);
	spec_put_words(&spec, words, n);
	spec_put_name(&spec, evctl->options[OPTION_NAME], number);
	spec_put_option(&spec, evctl, OPTION_PRIORITY, "priority");
	spec_put_option(&spec, evctl, OPTION_DATA, "data");
	if (evctl->options[OPTION_ONCE] != NULL && !spec_has(&spec, "once"))
		buffer_puts(&wire->out, ",\"once\":true");
	buffer_puts(&wire->out, "}\n");
	if (spec_has(&spec, "hold") || (spec.known != NULL && spec.known->held))
		specs->held = true;
}

/* How many of the words before have this type, and this one. */
static size_t
spec_number(char **first, char **words)
{
	size_t number = 1;

	for (char **w = first; w < words; w++)
		if (strcmp(*w, *words) == 0 &&
		    (w == first || strcmp(w[-1], ",") == 0))
			number++;
	return number;
}

void
spec_put(struct wire *wire, const struct evctl *evctl, struct specs *specs)
{
	char **words = evctl->args, **end;

	*specs = (struct specs){ 0 };
	do {
		for (end = words; *end != NULL && strcmp(*end, ",") != 0; end++)
			;
		if (end == words)
			evctl_usage("a type is missing: %s", SPEC_USAGE);
		spec_put_one(wire, evctl, words, end - words,
		    spec_number(evctl->args, words), specs);
		specs->n++;
		words = end + 1;
	} while (*end != NULL);
	if (specs->n > 1 && evctl->options[OPTION_NAME] != NULL)
		evctl_usage("--name is for one watcher; of several, each has a "
			    "watcher=NAME");
}
