#include "config.h"

#include "show.h"

#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "put.h"

#include "text.h"

static void
show_write(struct buffer *b)
{
	buffer_putc(b, '\n');
	fwrite(buffer_data(b), 1, buffer_len(b), stdout);
	buffer_fini(b);
}

void
show_line(struct slice line)
{
	struct buffer b;

	buffer_init(&b, NULL);
	if (isatty(STDOUT_FILENO))
		text_put_json(&b, line.p, line.len);
	else
		buffer_append(&b, line.p, line.len);
	show_write(&b);
}

/* --- members of events ---------------------------------------------------- */

static void
show_text(struct buffer *b, const char *text)
{
	buffer_append(b, text, strlen(text));
}

static void
show_number(struct buffer *b, int64_t n)
{
	put_i64(b, n);
}

/* A string without its quotes, anything else as JSON. */
static void
show_value(struct buffer *b, const struct member *member)
{
	if (member->kind == MEMBER_STRING)
		text_put(b, member->string.p, member->string.len);
	else
		text_put(b, member->raw.p, member->raw.len);
}

static void
show_signal(struct buffer *b, int64_t number)
{
	const char *name = number > 0 && number < 65 ?
	    sigabbrev_np((int)number) :
	    NULL;

	if (name != NULL)
		show_text(b, name);
	else
		show_number(b, number);
}

static void
show_revents(struct buffer *b, const struct member *member)
{
	static const struct {
		int bit;
		const char *text;
	} bits[] = { { 1, ", readable" }, { 2, ", writable" } };

	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		if (member->integer > 0 && (member->integer & bits[i].bit))
			show_text(b, bits[i].text);
}

static void
show_at(struct buffer *b, const struct member *member)
{
	buffer_puts(b, ", next ");
	text_put_time(b, member->number);
}

static void
show_jump(struct buffer *b, const struct member *member)
{
	buffer_puts(b, ", the clock was set");
}

static void
show_signum(struct buffer *b, const struct member *member)
{
	buffer_puts(b, " ");
	show_signal(b, member->integer);
}

static void
show_pid(struct buffer *b, const struct member *member)
{
	buffer_puts(b, " ");
	show_number(b, member->integer);
}

static void
show_status(struct buffer *b, const struct member *member)
{
	if (member->kind == MEMBER_NULL)
		buffer_puts(b, " has ended");
}

static void
show_exit(struct buffer *b, const struct member *member)
{
	buffer_puts(b, " has exited with ");
	show_number(b, member->integer);
}

static void
show_killed(struct buffer *b, const struct member *member)
{
	buffer_puts(b, " was ended by ");
	show_signal(b, member->integer);
}

static void
show_stopped(struct buffer *b, const struct member *member)
{
	buffer_puts(b, " was stopped by ");
	show_signal(b, member->integer);
}

static void
show_continued(struct buffer *b, const struct member *member)
{
	buffer_puts(b, " goes on");
}

static void
show_error(struct buffer *b, const struct member *member)
{
	buffer_puts(b, ", ended by ");
	show_value(b, member);
}

static void
show_overrun(struct buffer *b, const struct member *member)
{
	buffer_puts(b, ", and ");
	show_number(b, member->integer);
	buffer_puts(b, " more");
}

static void
show_data(struct buffer *b, const struct member *member)
{
	buffer_puts(b, ", data ");
	text_put(b, member->raw.p, member->raw.len);
}

static void
show_unknown(struct buffer *b, const struct member *member)
{
	buffer_puts(b, ", ");
	text_put(b, member->name.p, member->name.len);
	buffer_putc(b, ' ');
	show_value(b, member);
}

static void
show_nothing(struct buffer *b, const struct member *member)
{
}

/* In the order of show_event(), whatever that on the line is. */
static const struct {
	const char *member;
	void (*show)(struct buffer *, const struct member *);
} show_members[] = {
	{ "event", show_nothing },
	{ "watcher", show_nothing },
	{ "seq", show_nothing },
	{ "time", show_nothing },
	{ "active", show_nothing },
	{ "attr", show_nothing }, /* with prev: show_change() */
	{ "prev", show_nothing },
	{ "revents", show_revents },
	{ "signum", show_signum },
	{ "pid", show_pid },
	{ "status", show_status },
	{ "exit", show_exit },
	{ "signal", show_killed },
	{ "stopped", show_stopped },
	{ "continued", show_continued },
	{ "jump", show_jump },
	{ "error", show_error },
	{ "at", show_at },
	{ "overrun", show_overrun },
	{ "data", show_data },
};

#define N_MEMBERS (sizeof(show_members) / sizeof(show_members[0]))

/* --- what has changed ----------------------------------------------------- */

static void
show_change_of(struct buffer *b, const char *name, const json_t *prev,
    const json_t *attr)
{
	buffer_puts(b, ", ");
	show_text(b, name);
	if (!json_is_integer(attr) || !json_is_integer(prev))
		return;
	buffer_putc(b, ' ');
	if (strcmp(name, "mode") == 0) {
		char text[64];

		snprintf(text, sizeof(text), "%llo to %llo",
		    (unsigned long long)json_integer_value(prev),
		    (unsigned long long)json_integer_value(attr));
		show_text(b, text);
		return;
	}
	show_number(b, json_integer_value(prev));
	buffer_puts(b, " to ");
	show_number(b, json_integer_value(attr));
}

/* Of a stat: it came, it went, or which of its attributes are others now. */
static void
show_change(struct buffer *b, const struct message *message)
{
	const struct member *now = message_find(message, "attr");
	const struct member *then = message_find(message, "prev");
	const json_t *attr, *prev, *was;
	const char *name;
	json_t *is;

	if (now == NULL || then == NULL || now->kind != MEMBER_OBJECT ||
	    then->kind != MEMBER_OBJECT)
		return;
	attr = now->tree;
	prev = then->tree;
	if (json_integer_value(json_object_get(attr, "nlink")) == 0) {
		buffer_puts(b, ", is not there");
		return;
	}
	if (json_integer_value(json_object_get(prev, "nlink")) == 0) {
		buffer_puts(b, ", is there now, size ");
		show_number(b,
		    json_integer_value(json_object_get(attr, "size")));
		return;
	}
	json_object_foreach((json_t *)attr, name, is)
	{
		was = json_object_get(prev, name);
		if (!json_equal(is, was))
			show_change_of(b, name, was, is);
	}
}

/* --- events --------------------------------------------------------------- */

static void
show_known_members(struct buffer *b, const struct message *message)
{
	const struct member *member;

	for (size_t i = 0; i < N_MEMBERS; i++) {
		member = message_find(message, show_members[i].member);
		if (member != NULL)
			show_members[i].show(b, member);
	}
}

static bool
show_knows(const struct member *member)
{
	for (size_t i = 0; i < N_MEMBERS; i++)
		if (slice_is(member->name, show_members[i].member))
			return true;
	return false;
}

void
show_event(const struct evctl *evctl, const struct message *message,
    struct slice line)
{
	const struct member *time = message_find(message, "time");
	const struct member *watcher = message_find(message, "watcher");
	const struct member *type = message_find(message, "event");
	struct buffer b;

	if (!evctl->readable) {
		show_line(line);
		return;
	}
	buffer_init(&b, NULL);
	if (time != NULL) {
		text_put_time(&b, time->number);
		buffer_puts(&b, "  ");
	}
	/* Its name is often that of its type. */
	if (watcher != NULL && !slice_equal(watcher->raw, type->raw)) {
		show_value(&b, watcher);
		buffer_puts(&b, "  ");
	}
	show_value(&b, type);
	show_known_members(&b, message);
	show_change(&b, message);
	for (size_t i = 0; i < message->n; i++)
		if (!show_knows(&message->members[i]))
			show_unknown(&b, &message->members[i]);
	show_write(&b);
}
