#ifndef EVD_MESSAGE_H
#define EVD_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "buffer.h"

/*
 * A line from a client, as a flat list of members, and the replies to it.
 *
 * Most lines are flat objects of plain strings and numbers; message_scan()
 * reads those.  Whatever else a line holds goes through jansson, which is
 * the judge of what is JSON: on what the scanner accepts the two agree (a
 * fuzzer holds that).  Neither copies: members point into the line, or into
 * jansson's tree, which the message owns until the next line.
 */

/* Of the protocol that these lines are in. */
#define PROTOCOL_VERSION 1

/* The longest line that a client may send, its LF included. */
#define LINE_SIZE_MAX (64 * 1024)
/* Of an id and of a watcher's data, as JSON text. */
#define JSON_SIZE_MAX 4096

enum error_code {
	ERROR_NONE,
	ERROR_PARSE,
	ERROR_INVALID_ARGUMENT,
	ERROR_UNKNOWN_COMMAND,
	ERROR_NO_SUCH_WATCHER,
	ERROR_NO_SUCH_SESSION,
	ERROR_WATCHER_EXISTS,
	ERROR_SESSION_EXISTS,
	ERROR_WATCHER_ACTIVE,
	ERROR_PERMISSION_DENIED,
	ERROR_LIMIT_EXCEEDED,
	ERROR_NOT_SUPPORTED,
	ERROR_SYSTEM,
	ERROR_CODES
};

/* The names on the wire, by code; that of ERROR_NONE is NULL. */
extern const char *const error_names[ERROR_CODES];

/* Filled where the fault is known, passed up untouched, written here. */
struct error {
	enum error_code code;
	char message[512]; /* UTF-8, one line */
};

/* Fills it and returns -1, so that a handler can return the call's value. */
int error_set(struct error *, enum error_code, const char *, ...)
    __attribute__((format(printf, 3, 4)));

/* A system call failed with this errno; what: on whose behalf, on what. */
int error_set_system(struct error *, int err, const char *what, ...)
    __attribute__((format(printf, 3, 4)));

struct slice {
	const char *p;
	size_t len;
};

/* As it came: without its LF. */
struct line {
	const char *p;
	size_t len;
	uint64_t number; /* of the connection's lines, from 1 */
	uint64_t end;	 /* place in the stream behind it */
};

bool slice_is(struct slice, const char *);

/* The first byte tells most names apart, without a call. */
static inline bool
slice_equal(struct slice a, struct slice b)
{
	return a.len == b.len &&
	    (a.len == 0 || (a.p[0] == b.p[0] && memcmp(a.p, b.p, a.len) == 0));
}

enum member_kind {
	MEMBER_NULL,
	MEMBER_FALSE,
	MEMBER_TRUE,
	MEMBER_INTEGER,
	MEMBER_REAL,
	MEMBER_STRING,
	MEMBER_ARRAY,
	MEMBER_OBJECT,
};

struct member {
	struct slice name; /* decoded */
	struct slice raw;  /* the value's text on the line */
	enum member_kind kind;
	bool plain;	     /* MEMBER_STRING: ASCII, no controls nor escapes */
	struct slice string; /* MEMBER_STRING: decoded */
	int64_t integer;     /* MEMBER_INTEGER */
	double number;	     /* MEMBER_INTEGER, MEMBER_REAL */
	const void *tree;    /* MEMBER_ARRAY, MEMBER_OBJECT: jansson's */
};

/*
 * Lines come in few shapes: the next one often has the members that the last
 * one had, in the same order.  So a name is first compared with the one that
 * stood there in the last line, and what follows from names alone is not found
 * again for each line, but kept with the number of the shape.
 */
#define SHAPE_NAMES_MAX 24
#define SHAPE_TEXT_MAX	23

struct shape_name {
	unsigned char len;
	char text[SHAPE_TEXT_MAX]; /* as on the line, from quote to colon */
};

struct shape {
	uint64_t number; /* another one whenever anything below changes */
	size_t n;
	struct shape_name names[SHAPE_NAMES_MAX]; /* all differ */
};

struct message {
	struct member *members;
	size_t n;
	size_t size; /* of members, which is kept from line to line */
	void *tree;  /* jansson's, if it was needed */
	struct message_room *rooms;
	uint64_t shape; /* equal for two lines: equal names in equal order */
	struct shape last;
};

void message_init(struct message *);
void message_fini(struct message *);

/*
 * Reads a line without its LF.  What the message held before is gone; the
 * line's bytes must stay until the next call.  Returns 0, or -1 with the
 * error.
 */
int message_parse(struct message *, const char *, size_t, struct error *);

/* The scanner alone: false if the line is not for it.  For tests. */
bool message_scan(struct message *, const char *, size_t);
/* jansson alone.  For tests. */
int message_load(struct message *, const char *, size_t, struct error *);

/* Room that stays until the next line is read. */
char *message_room(struct message *, size_t);

/* Borrowed; NULL if there is no member of that name. */
const struct member *message_find_name(const struct message *, struct slice);

static inline const struct member *
message_find(const struct message *m, const char *name)
{
	return message_find_name(m, (struct slice){ name, strlen(name) });
}

/* An array's number of items, and the i-th if it is a string. */
size_t message_items(const struct member *);
bool message_item(const struct member *, size_t i, struct slice *);

/*
 * Calls for each member of an object, in order, with the value if it is a
 * string, else with one whose p is NULL.  Stops where that returns false, and
 * returns it.
 */
bool message_each(const struct member *,
    bool (*)(void *arg, const char *name, struct slice value), void *arg);

/*
 * What was found, for an error message: the value's text, at most 64 bytes
 * of it, cut between characters.  Returns out, which holds EXCERPT_SIZE.
 */
#define EXCERPT_MAX  64
#define EXCERPT_SIZE (EXCERPT_MAX + sizeof("..."))
const char *message_excerpt(char *out, struct slice);

/*
 * The frame around a result: message_reply_begin() writes up to and with
 * "result":{ and message_reply_end() the rest and the LF.  id is JSON text,
 * of length 0 where there was none.
 */
void message_reply_begin(struct buffer *, struct slice id);
void message_reply_end(struct buffer *);

/* cmd is a decoded string, watcher JSON text; NULL if not known. */
void message_reply_error(struct buffer *, struct slice id, const struct error *,
    uint64_t line, struct slice cmd, struct slice watcher);

/* The last line of a connection; message may be NULL. */
void message_bye(struct buffer *, const char *reason, const char *message);

#endif
