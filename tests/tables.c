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

/* Each type is one, and there are some that the kernel may lack. */
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
	buffer_puts(&b, "}\n");
	fwrite(buffer_data(&b), 1, buffer_len(&b), stdout);
	buffer_fini(&b);
	return ferror(stdout) || fflush(stdout) == EOF;
}
