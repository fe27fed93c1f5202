#include "config.h"

#include "message.h"

#include <endian.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "put.h"

/* The scanner needs no more, and leaves longer lists to jansson. */
#define MEMBERS_MIN 32
/* The message keeps its list from line to line, but not a huge one. */
#define MEMBERS_KEEP 256

struct message_room {
	struct message_room *next;
	char bytes[];
};

const char *const error_names[ERROR_CODES] = {
	[ERROR_PARSE] = "parse-error",
	[ERROR_INVALID_ARGUMENT] = "invalid-argument",
	[ERROR_UNKNOWN_COMMAND] = "unknown-command",
	[ERROR_NO_SUCH_WATCHER] = "no-such-watcher",
	[ERROR_NO_SUCH_SESSION] = "no-such-session",
	[ERROR_WATCHER_EXISTS] = "watcher-exists",
	[ERROR_SESSION_EXISTS] = "session-exists",
	[ERROR_WATCHER_ACTIVE] = "watcher-active",
	[ERROR_PERMISSION_DENIED] = "permission-denied",
	[ERROR_LIMIT_EXCEEDED] = "limit-exceeded",
	[ERROR_NOT_SUPPORTED] = "not-supported",
	[ERROR_SYSTEM] = "system-error",
};

static void __attribute__((format(printf, 3, 0))) error_vset(
    struct error *error, enum error_code code, const char *fmt, va_list ap)
{
	size_t room = sizeof(error->message);
	int n;

	error->code = code;
	n = vsnprintf(error->message, room, fmt, ap);
	if (n >= (int)room) {
		/* Cut before a character, not inside it. */
		n = room - 1;
		while (n > 0 && (error->message[n - 1] & 0xc0) == 0x80)
			n--;
		if (n > 0 && (error->message[n - 1] & 0x80))
			n--;
		error->message[n] = '\0';
	}
}

int
error_set(struct error *error, enum error_code code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	error_vset(error, code, fmt, ap);
	va_end(ap);
	return -1;
}

int
error_set_system(struct error *error, int err, const char *what, ...)
{
	const char *name = strerrorname_np(err);
	size_t len, room = sizeof(error->message);
	va_list ap;

	va_start(ap, what);
	error_vset(error, ERROR_SYSTEM, what, ap);
	va_end(ap);
	len = strlen(error->message);
	snprintf(error->message + len, room - len, ": %s (%s)",
	    name == NULL ? "errno" : name, strerror(err));
	return -1;
}

bool
slice_is(struct slice s, const char *text)
{
	return strlen(text) == s.len && memcmp(s.p, text, s.len) == 0;
}

void
message_init(struct message *m)
{
	*m = (struct message){ 0 };
}

static void
message_free_rooms(struct message *m)
{
	while (m->rooms != NULL) {
		struct message_room *room = m->rooms;

		m->rooms = room->next;
		free(room);
	}
}

char *
message_room(struct message *m, size_t size)
{
	struct message_room *room = memory_alloc(sizeof(*room) + size);

	room->next = m->rooms;
	m->rooms = room;
	return room->bytes;
}

static void
message_reset(struct message *m)
{
	message_free_rooms(m);
	m->n = 0;
	if (m->tree != NULL)
		json_decref(m->tree);
	m->tree = NULL;
	if (m->size > MEMBERS_KEEP) {
		free(m->members);
		m->members = NULL;
		m->size = 0;
	}
}

void
message_fini(struct message *m)
{
	message_reset(m);
	free(m->members);
	message_init(m);
}

static struct member *
message_add(struct message *m)
{
	if (m->n == m->size) {
		m->size = m->size == 0 ? MEMBERS_MIN : m->size * 2;
		m->members = memory_realloc(m->members,
		    m->size * sizeof(*m->members));
	}
	return &m->members[m->n++];
}

/* --- the scanner -------------------------------------------------------- */

static const char *
scan_space(const char *p, const char *end)
{
	/* Mostly there is none, and that is one comparison. */
	while (p < end && *p <= ' ' && (*p == ' ' || *p == '\t' || *p == '\r'))
		p++;
	return p;
}

/* What may stand in a string as it is: ASCII but for controls, " and \. */
static inline bool
scan_is_plain(unsigned char c)
{
	return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

#define EACH_BYTE(c) (UINT64_C(0x0101010101010101) * (c))

/*
 * The same of eight bytes at once: where the first one is that is not plain; 8:
 * all are.  Each term sets the high bit of a byte that it is about: from 0x80,
 * 0x7f, below 0x20, " and \.  A carry or borrow may set others, but only
 * behind such a byte.
 */
static inline unsigned int
scan_plain_word(const char *p)
{
	uint64_t x, odd;

	memcpy(&x, p, sizeof(x));
	x = le64toh(x);
	odd = x | (x + EACH_BYTE(1)) | (x - EACH_BYTE(' ')) |
	    ((x ^ EACH_BYTE('"')) - EACH_BYTE(1)) |
	    ((x ^ EACH_BYTE('\\')) - EACH_BYTE(1));
	odd &= EACH_BYTE(0x80);
	return odd == 0 ? 8 : (unsigned int)__builtin_ctzll(odd) / 8;
}

/* A string of plain ASCII, from its opening quote; NULL if it is not one. */
static const char *
scan_string(const char *p, const char *end, struct slice *s)
{
	const char *start = ++p;
	unsigned int n = 8;

	while (n == 8 && end - p >= 8)
		p += n = scan_plain_word(p);
	if (n == 8)
		while (p < end && scan_is_plain(*p))
			p++;
	if (p == end || *p != '"')
		return NULL;
	*s = (struct slice){ start, p - start };
	return p + 1;
}

/* Adds the digits to a number, which overflows if there are many. */
static const char *
scan_digits(const char *p, const char *end, uint64_t *n)
{
	for (; p < end && *p >= '0' && *p <= '9'; p++)
		*n = *n * 10 + (uint64_t)(*p - '0');
	return p;
}

/*
 * A number of at most 15 digits without exponent: mantissa and power of ten
 * are then exact doubles, and their quotient is the one that strtod() gives.
 */
static const char *
scan_number(const char *p, const char *end, struct member *member)
{
	static const double powers[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7,
		1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15 };
	bool negative = *p == '-';
	const char *first = p += negative;
	uint64_t n = 0;
	ptrdiff_t digits, decimals = 0;

	p = scan_digits(p, end, &n);
	digits = p - first;
	if (digits == 0 || (digits > 1 && *first == '0'))
		return NULL;
	member->kind = MEMBER_INTEGER;
	if (p < end && *p == '.') {
		first = p + 1;
		p = scan_digits(first, end, &n);
		decimals = p - first;
		if (decimals == 0)
			return NULL;
		member->kind = MEMBER_REAL;
	}
	if (digits + decimals > 15 || (p < end && (*p == 'e' || *p == 'E')))
		return NULL;
	member->integer = negative ? -(int64_t)n : (int64_t)n;
	member->number = (double)member->integer;
	/* The integer -0 is 0, the real -0.0 is not: jansson's way. */
	if (decimals > 0) {
		member->number = (double)n / powers[decimals];
		if (negative)
			member->number = -member->number;
	}
	return p;
}

static const char *
scan_word(const char *p, const char *end, struct member *member)
{
	static const struct {
		const char *word;
		size_t len;
		enum member_kind kind;
	} words[] = { { "true", 4, MEMBER_TRUE }, { "false", 5, MEMBER_FALSE },
		{ "null", 4, MEMBER_NULL } };

	for (size_t i = 0; i < 3; i++) {
		if ((size_t)(end - p) < words[i].len ||
		    memcmp(p, words[i].word, words[i].len) != 0)
			continue;
		member->kind = words[i].kind;
		return p + words[i].len;
	}
	return NULL;
}

static const char *
scan_value(const char *p, const char *end, struct member *member)
{
	const char *start = p;

	if (p == end)
		return NULL;
	if (*p == '"') {
		member->kind = MEMBER_STRING;
		member->plain = true;
		p = scan_string(p, end, &member->string);
	} else if (*p == '-' || (*p >= '0' && *p <= '9')) {
		p = scan_number(p, end, member);
	} else {
		p = scan_word(p, end, member);
	}
	if (p != NULL)
		member->raw = (struct slice){ start, p - start };
	return p;
}

static bool
scan_is_duplicate(const struct message *m, struct slice name)
{
	for (size_t i = 0; i < m->n; i++)
		if (slice_equal(m->members[i].name, name))
			return true;
	return false;
}

/* --- shapes ------------------------------------------------------------- */

/* What is known from there on is not so any more. */
static void
shape_cut(struct shape *shape, size_t n)
{
	if (shape->n > n)
		shape->n = n;
	shape->number++;
}

/*
 * The name at a place.  One that is too long to be kept leaves the shape
 * shorter than the line, whatever follows.
 */
static void
shape_set(struct shape *shape, size_t place, struct slice name)
{
	struct shape_name *known = &shape->names[place];

	shape_cut(shape, place);
	if (shape->n < place || name.len + strlen("\"\":") > SHAPE_TEXT_MAX)
		return;
	known->len = name.len + strlen("\"\":");
	known->text[0] = '"';
	memcpy(known->text + 1, name.p, name.len);
	memcpy(known->text + 1 + name.len, "\":", 2);
	shape->n++;
}

/*
 * That of a line of n names.  Where not all could be kept, none are: a shorter
 * line must not have its number.
 */
static uint64_t
shape_of_line(struct shape *shape, size_t n)
{
	if (shape->n != n)
		shape_cut(shape, shape->n < n ? 0 : n);
	return shape->number;
}

static inline bool
shape_has(const struct shape *shape, size_t place, const char *p,
    const char *end)
{
	const struct shape_name *known = &shape->names[place];

	return place < shape->n && end - p >= known->len &&
	    memcmp(p, known->text, known->len) == 0;
}

/* --- the scanner: lines ------------------------------------------------- */

/* A name that was not here in the last line, and the colon behind it. */
static const char *
scan_new_name(struct message *m, const char *p, const char *end,
    struct slice *name)
{
	if (p == end || *p != '"' || m->n == SHAPE_NAMES_MAX ||
	    (p = scan_string(p, end, name)) == NULL)
		return NULL;
	p = scan_space(p, end);
	if (p == end || *p != ':' || scan_is_duplicate(m, *name))
		return NULL;
	shape_set(&m->last, m->n, *name);
	return p + 1;
}

static const char *
scan_name(struct message *m, const char *p, const char *end, struct slice *name)
{
	size_t len;

	if (!shape_has(&m->last, m->n, p, end))
		return scan_new_name(m, p, end, name);
	len = m->last.names[m->n].len;
	*name = (struct slice){ p + 1, len - strlen("\"\":") };
	return p + len;
}

/* One member and the comma or brace behind it. */
static const char *
scan_member(struct message *m, const char *p, const char *end)
{
	struct member *member;
	struct slice name;

	if ((p = scan_name(m, p, end, &name)) == NULL)
		return NULL;
	member = message_add(m);
	member->name = name;
	p = scan_value(scan_space(p, end), end, member);
	if (p == NULL)
		return NULL;
	p = scan_space(p, end);
	return p < end && (*p == ',' || *p == '}') ? p : NULL;
}

bool
message_scan(struct message *m, const char *line, size_t len)
{
	const char *end = line + len;
	const char *p = scan_space(line, end);

	message_reset(m);
	if (p == end || *p != '{')
		return false;
	do {
		p = scan_member(m, scan_space(p + 1, end), end);
	} while (p != NULL && *p == ',');
	m->shape = shape_of_line(&m->last, m->n);
	return p != NULL && scan_space(p + 1, end) == end;
}

/* --- jansson ------------------------------------------------------------ */

/*
 * Where the text of a key or a value ends.  jansson has accepted the line,
 * so that nothing needs to be checked: only strings and brackets count.
 */
static const char *
raw_skip(const char *p)
{
	int depth = 0;

	do {
		if (*p == '"') {
			for (p++; *p != '"'; p++)
				if (*p == '\\')
					p++;
		} else if (*p == '{' || *p == '[') {
			depth++;
		} else if (*p == '}' || *p == ']') {
			depth--;
		} else if (depth == 0) {
			while (strchr(" \t\r\n,:]}", *p) == NULL)
				p++;
			return p;
		}
		p++;
	} while (depth > 0);
	return p;
}

/* The next key or value. */
static const char *
raw_find(const char *p)
{
	while (strchr(" \t\r\n,:", *p) != NULL)
		p++;
	return p;
}

static void
member_from_json(struct member *member, json_t *value)
{
	static const enum member_kind kinds[] = {
		[JSON_OBJECT] = MEMBER_OBJECT,
		[JSON_ARRAY] = MEMBER_ARRAY,
		[JSON_STRING] = MEMBER_STRING,
		[JSON_INTEGER] = MEMBER_INTEGER,
		[JSON_REAL] = MEMBER_REAL,
		[JSON_TRUE] = MEMBER_TRUE,
		[JSON_FALSE] = MEMBER_FALSE,
		[JSON_NULL] = MEMBER_NULL,
	};

	member->kind = kinds[json_typeof(value)];
	member->plain = false;
	member->tree = value;
	member->integer = json_integer_value(value);
	member->number = json_number_value(value);
	if (member->kind == MEMBER_STRING)
		member->string = (struct slice){ json_string_value(value),
			json_string_length(value) };
}

/* jansson keeps members in the order of the line, so the texts pair up. */
static void
message_list_tree(struct message *m, const char *line)
{
	const char *p = line + strspn(line, " \t\r\n") + 1;
	void *iter;

	for (iter = json_object_iter(m->tree); iter != NULL;
	     iter = json_object_iter_next(m->tree, iter)) {
		struct member *member = message_add(m);
		const char *name = json_object_iter_key(iter);
		const char *start = raw_find(raw_skip(raw_find(p)));

		p = raw_skip(start);
		member->name = (struct slice){ name, strlen(name) };
		member->raw = (struct slice){ start, p - start };
		member_from_json(member, json_object_iter_value(iter));
	}
}

int
message_load(struct message *m, const char *line, size_t len,
    struct error *error)
{
	json_error_t fault;

	message_reset(m);
	/* jansson's lines have a shape of their own, each. */
	shape_cut(&m->last, 0);
	m->shape = m->last.number;
	if (scan_space(line, line + len) == line + len)
		return error_set(error, ERROR_PARSE,
		    "the line is blank, expected a JSON object");
	m->tree = json_loadb(line, len,
	    JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &fault);
	if (m->tree == NULL) {
		/* jansson shows what is near, which need not be UTF-8. */
		for (char *p = fault.text; *p != '\0'; p++)
			if ((unsigned char)*p >= 0x7f)
				*p = '?';
		return error_set(error, ERROR_PARSE,
		    "not JSON: %s, at byte %d; expected one JSON object a line",
		    fault.text, fault.position);
	}
	if (!json_is_object((json_t *)m->tree)) {
		char found[EXCERPT_SIZE];

		return error_set(error, ERROR_PARSE,
		    "found %s, expected a JSON object",
		    message_excerpt(found, (struct slice){ line, len }));
	}
	message_list_tree(m, line);
	return 0;
}

int
message_parse(struct message *m, const char *line, size_t len,
    struct error *error)
{
	return message_scan(m, line, len) ? 0 :
					    message_load(m, line, len, error);
}

/* --- access ------------------------------------------------------------- */

const struct member *
message_find_name(const struct message *m, struct slice name)
{
	for (size_t i = 0; i < m->n; i++)
		if (slice_equal(m->members[i].name, name))
			return &m->members[i];
	return NULL;
}

size_t
message_items(const struct member *member)
{
	return json_array_size(member->tree);
}

bool
message_item(const struct member *member, size_t i, struct slice *item)
{
	const json_t *value = json_array_get(member->tree, i);

	if (!json_is_string(value))
		return false;
	*item = (struct slice){ json_string_value(value),
		json_string_length(value) };
	return true;
}

bool
message_each(const struct member *member,
    bool (*each)(void *, const char *, struct slice), void *arg)
{
	json_t *object = (json_t *)member->tree;
	void *iter;

	for (iter = json_object_iter(object); iter != NULL;
	     iter = json_object_iter_next(object, iter)) {
		const json_t *value = json_object_iter_value(iter);
		struct slice string = { json_string_value(value),
			json_string_length(value) };

		if (!each(arg, json_object_iter_key(iter), string))
			return false;
	}
	return true;
}

const char *
message_excerpt(char *out, struct slice text)
{
	size_t len = text.len;

	if (len > EXCERPT_MAX) {
		len = EXCERPT_MAX;
		while (len > 0 && (text.p[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(out, text.p, len);
	strcpy(out + len, len < text.len ? "..." : "");
	return out;
}

/* --- replies ------------------------------------------------------------ */

static void
reply_put_id(struct buffer *b, struct slice id)
{
	buffer_putc(b, '{');
	if (id.len == 0)
		return;
	buffer_puts(b, "\"id\":");
	buffer_append(b, id.p, id.len);
	buffer_putc(b, ',');
}

void
message_reply_begin(struct buffer *b, struct slice id)
{
	reply_put_id(b, id);
	buffer_puts(b, "\"result\":{");
}

void
message_reply_end(struct buffer *b)
{
	buffer_puts(b, "}}\n");
}

void
message_reply_error(struct buffer *b, struct slice id,
    const struct error *error, uint64_t line, struct slice cmd,
    struct slice watcher)
{
	const char *name = error_names[error->code];

	reply_put_id(b, id);
	buffer_puts(b, "\"error\":{\"code\":\"");
	buffer_append(b, name, strlen(name));
	buffer_puts(b, "\",\"message\":");
	put_string(b, error->message, strlen(error->message));
	put_key(b, "line");
	put_u64(b, line);
	if (cmd.p != NULL) {
		put_key(b, "cmd");
		put_string(b, cmd.p, cmd.len);
	}
	if (watcher.len > 0) {
		put_key(b, "watcher");
		buffer_append(b, watcher.p, watcher.len);
	}
	buffer_puts(b, "}}\n");
}

void
message_bye(struct buffer *b, const char *reason, const char *message)
{
	buffer_puts(b, "{\"event\":\"bye\",\"reason\":\"");
	buffer_append(b, reason, strlen(reason));
	buffer_putc(b, '"');
	if (message != NULL) {
		put_key(b, "message");
		put_string(b, message, strlen(message));
	}
	buffer_puts(b, "}\n");
}
