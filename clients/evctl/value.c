#include "config.h"

#include "value.h"

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "paths.h"
#include "put.h"

#include "evctl.h"

static bool
value_is_utf8(const char *word)
{
	json_t *string = json_string(word);
	bool is = string != NULL;

	json_decref(string);
	return is;
}

static bool
value_is_json(const char *word)
{
	json_t *value = json_loads(word,
	    JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
	bool is = value != NULL;

	json_decref(value);
	return is;
}

void
value_put_string(struct buffer *b, const char *what, const char *word)
{
	if (!value_is_utf8(word))
		evctl_usage("%s is '%s', expected UTF-8", what, word);
	put_string(b, word, strlen(word));
}

/* In JSON an end of line is white space, and on the wire the line's end. */
static void
value_put_raw(struct buffer *b, const char *word)
{
	for (; *word != '\0'; word++)
		buffer_putc(b, *word == '\n' ? ' ' : *word);
}

void
value_put_json(struct buffer *b, const char *what, const char *word)
{
	if (!value_is_json(word))
		evctl_usage("%s is '%s', expected JSON (a string of it has "
			    "quotes)",
		    what, word);
	value_put_raw(b, word);
}

void
value_put(struct buffer *b, const char *what, const char *word)
{
	if (value_is_json(word))
		value_put_raw(b, word);
	else
		value_put_string(b, what, word);
}

void
value_put_name(struct buffer *b, const char *what, const char *word)
{
	size_t digits = strspn(word, "0123456789");

	if (digits > 0 && word[digits] == '\0' && value_is_json(word))
		value_put_raw(b, word);
	else
		value_put_string(b, what, word);
}

void
value_put_path(struct buffer *b, const char *member, const char *path)
{
	char *absolute;

	/* A script's variable that is unset must not be the directory. */
	if (*path == '\0')
		evctl_usage("%s is '', expected one", member);
	absolute = paths_absolute(path);
	if (absolute == NULL)
		exit(STATUS_ERROR);
	buffer_puts(b, ",\"");
	buffer_append(b, member, strlen(member));
	if (value_is_utf8(absolute)) {
		buffer_puts(b, "\":");
		put_string(b, absolute, strlen(absolute));
	} else {
		buffer_puts(b, "_base64\":");
		base64_put(b, absolute, strlen(absolute));
	}
	free(absolute);
}

int
value_parse_fd(const char *word)
{
	size_t digits = strspn(word, "0123456789");
	long fd = strtol(word, NULL, 10);

	return digits == 0 || word[digits] != '\0' || fd > INT_MAX ? -1 :
								     (int)fd;
}
