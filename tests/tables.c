#include "config.h"

#include <stdio.h>

#include "command.h"
#include "feature.h"
#include "message.h"
#include "put.h"
#include "watchers/classes.h"

/*
 * Prints the daemon's tables as JSON, for the test that compares them with
 * the protocol's document and schema.
 */

static void
put_name(struct buffer *b, struct slice name)
{
	if (buffer_data(b)[buffer_len(b) - 1] != '[')
		buffer_putc(b, ',');
	put_string(b, name.p, name.len);
}

static void
put_params(struct buffer *b, const char *key, const struct param *params,
    size_t n)
{
	put_member(b, key);
	buffer_putc(b, '[');
	for (size_t i = 0; i < n; i++)
		put_name(b, params[i].name);
	buffer_putc(b, ']');
}

static void
put_verbs(struct buffer *b)
{
	put_member(b, "verbs");
	buffer_putc(b, '{');
	for (size_t i = 0; commands[i] != NULL; i++)
		put_params(b, commands[i]->name.p, commands[i]->params,
		    commands[i]->n_params);
	buffer_putc(b, '}');
}

static void
put_types(struct buffer *b)
{
	put_member(b, "types");
	buffer_putc(b, '{');
	for (size_t i = 0; watcher_classes[i] != NULL; i++)
		put_params(b, watcher_classes[i]->name.p,
		    watcher_classes[i]->params, watcher_classes[i]->n_params);
	buffer_putc(b, '}');
}

static void
put_errors(struct buffer *b)
{
	put_member(b, "errors");
	buffer_putc(b, '[');
	for (int i = ERROR_NONE + 1; i < ERROR_CODES; i++)
		put_name(b,
		    (struct slice){ error_names[i], strlen(error_names[i]) });
	buffer_putc(b, ']');
}

/* Each type is one, and what the kernel may lack. */
static void
put_features(struct buffer *b)
{
	put_member(b, "features");
	buffer_putc(b, '[');
	for (size_t i = 0; watcher_classes[i] != NULL; i++)
		put_name(b, watcher_classes[i]->name);
	for (int i = 0; i < FEATURES; i++)
		put_name(b,
		    (struct slice){ feature_names[i],
			strlen(feature_names[i]) });
	buffer_putc(b, ']');
}

/* --- rights ---------------------------------------------------------------- */

static void
put_full_name(struct buffer *b, const char *of, const char *member)
{
	char name[128];

	snprintf(name, sizeof(name), "%s.%s", of, member);
	put_name(b, (struct slice){ name, strlen(name) });
}

static void
put_members_of(struct buffer *b, enum right right, const char *of,
    const struct param *params, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (params[i].right == right)
			put_full_name(b, of, params[i].name.p);
}

/* The members that need more than their verb or type. */
static void
put_members_of_right(struct buffer *b, enum right right)
{
	put_member(b, "members");
	buffer_putc(b, '[');
	for (size_t i = 0; right != RIGHT_ALL && commands[i] != NULL; i++)
		put_members_of(b, right, commands[i]->name.p,
		    commands[i]->params, commands[i]->n_params);
	for (size_t i = 0; right != RIGHT_ALL && watcher_classes[i] != NULL;
	     i++)
		put_members_of(b, right, watcher_classes[i]->name.p,
		    watcher_classes[i]->params, watcher_classes[i]->n_params);
	buffer_putc(b, ']');
}

static void
put_right(struct buffer *b, enum right right)
{
	put_member(b, right_names[right]);
	buffer_puts(b, "{\"verbs\":[");
	for (size_t i = 0; commands[i] != NULL; i++)
		if (commands[i]->right == right)
			put_name(b, commands[i]->name);
	buffer_puts(b, "],\"types\":[");
	for (size_t i = 0; watcher_classes[i] != NULL; i++)
		if (watcher_classes[i]->right == right)
			put_name(b, watcher_classes[i]->name);
	buffer_putc(b, ']');
	put_members_of_right(b, right);
	buffer_putc(b, '}');
}

static void
put_rights(struct buffer *b)
{
	put_member(b, "rights");
	buffer_putc(b, '{');
	for (int i = 0; i < RIGHTS; i++)
		put_right(b, i);
	buffer_putc(b, '}');
}

/* Which members, being true, make their type one for all. */
static void
put_harmless(struct buffer *b)
{
	put_member(b, "harmless");
	buffer_putc(b, '[');
	for (size_t i = 0; watcher_classes[i] != NULL; i++) {
		const struct watcher_class *class = watcher_classes[i];

		for (size_t j = 0; j < class->n_params; j++)
			if (class->harmless & PARAM_BIT(j))
				put_full_name(b, class->name.p,
				    class->params[j].name.p);
	}
	buffer_putc(b, ']');
}

int
main(void)
{
	struct buffer b;

	buffer_init(&b, NULL);
	buffer_putc(&b, '{');
	put_verbs(&b);
	put_params(&b, "common", command_common_params,
	    command_n_common_params);
	put_types(&b);
	put_errors(&b);
	put_features(&b);
	put_rights(&b);
	put_harmless(&b);
	buffer_puts(&b, "}\n");
	fwrite(buffer_data(&b), 1, buffer_len(&b), stdout);
	buffer_fini(&b);
	return ferror(stdout) || fflush(stdout) == EOF;
}
