#include "config.h"

#include "message.h"

#include <math.h>

#include "messages.h"
#include "unit.h"

static struct message m, other;
static struct error error;
static struct buffer out;
/* The line is as long as its block: a byte too far is seen. */
static char *line;
static size_t len;

static void
setup(void)
{
	message_init(&m);
	message_init(&other);
	buffer_init(&out, NULL);
}

static void
teardown(void)
{
	message_fini(&m);
	message_fini(&other);
	buffer_fini(&out);
	free(line);
}

static void
set_line(const char *bytes, size_t n)
{
	free(line);
	len = n;
	line = memory_alloc(n);
	if (n > 0)
		memcpy(line, bytes, n);
}

/* ' stands for " here. */
static void
set_text(const char *text)
{
	char *json = unit_json(text);

	set_line(json, strlen(json));
	free(json);
}

static void
parse(const char *text)
{
	set_text(text);
	ck_assert_int_eq(message_parse(&m, line, len, &error), 0);
}

static void
assert_slice(struct slice s, const char *text)
{
	ck_assert_msg(slice_is(s, text), "'%.*s' is not '%s'", (int)s.len, s.p,
	    text);
}

/* --- what both read ------------------------------------------------------ */

/* Lines for the scanner. */
static const char *const flat[] = {
	"{'cmd':'now'}",
	" \t{ 'cmd' : 'now' , 'id' : 7 } \r",
	"{'':''}",
	"{'a':0}",
	"{'a':-0}",
	"{'a':-0.0}",
	"{'a':0.0}",
	"{'a':999999999999999}",
	"{'a':-999999999999999}",
	"{'a':0.1}",
	"{'a':-12345.6789}",
	"{'a':0.00000000000001}",
	"{'a':99999999999999.9}",
	"{'a':1.10}",
	"{'a':true,'b':false,'c':null}",
	"{'a':'{[:,]}'}",
	"{'a':1,'A':1,'aa':1}",
	"{'1':1,'2':1,'3':1,'4':1,'5':1,'6':1,'7':1,'8':1,'9':1,'10':1,"
	"'11':1,'12':1,'13':1,'14':1,'15':1,'16':1,'17':1,'18':1,'19':1,"
	"'20':1,'21':1,'22':1,'23':1,'24':1}",
};

/* Lines that are left to jansson, and that it reads. */
static const char *const deep[] = {
	"{}",
	" { } ",
	"{'a':[]}",
	"{'a':{}}",
	"{'a':[1,{'b':[true,null,'],}']}],'c':{'d':-1.5e3}}",
	"{'a':[ 1 , 2 ]\t}",
	"{'a':'\\u0061'}",
	"{'\\u0061':1}",
	"{'a\\'b':'\\\\','c':'\\\\\\''}",
	"{'a':'\303\251'}",
	"{'\303\251':1,'b':[ '\360\237\230\200' ]}",
	"{'a':'\177'}",
	"{'a':1e3}",
	"{'a':1E+3,'b':-2.5e-3}",
	"{'a':1234567890123456}",
	"{'a':9223372036854775807,'b':-9223372036854775808}",
	"{'a':0.1234567890123456789}",
	"{'a':1e308,'b':4.9e-324,'c':1e-400}",
	"{'a':'\\ud83d\\ude00'}",
	"{'1':1,'2':1,'3':1,'4':1,'5':1,'6':1,'7':1,'8':1,'9':1,'10':1,"
	"'11':1,'12':1,'13':1,'14':1,'15':1,'16':1,'17':1,'18':1,'19':1,"
	"'20':1,'21':1,'22':1,'23':1,'24':1,'25':1}",
};

/* Lines that nobody reads. */
static const char *const bad[] = {
	"now",
	"{'cmd':'now'",
	"{'cmd':'now'}}",
	"{'cmd':'now'} {}",
	"{'a':1,}",
	"{'a' 1}",
	"{'a':}",
	"{,}",
	"{a:1}",
	"{'a':tru}",
	"{'a':nulls}",
	"{'a':NaN}",
	"{'a':Infinity}",
	"{'a':01}",
	"{'a':-}",
	"{'a':1.}",
	"{'a':.5}",
	"{'a':+1}",
	"{'a':1e}",
	"{'a':1e309}",
	"{'a':9223372036854775808}",
	"{'a':-9223372036854775809}",
	"{'a':'b",
	"{'a':'\tb'}",
	"{'a':'\\x'}",
	"{'a':'\\u00g0'}",
	"{'a':'\\u0000'}",
	"{'\\u0000':1}",
	"{'a':'\\ud800'}",
	"{'a':'\\udc00'}",
	"{'a':1,'a':1}",
	"{'a':1,'\\u0061':1}",
	"{'a':{'b':1,'b':2}}",
	"{'a':'\377'}",
	"{'a':'\300\200'}",
	"{'a':'\303'}",
	"{'a':'\355\240\200'}",
	"{'\377':1}",
	"\357\273\277{}",
	"{'a':1}\vx",
	"{'a':'\\\303\251'}",
	"{'a':'\\u12\303\251'}",
	"{'a':\303\251}",
	"{'a':'\360\237\230\200\\\360\237\230\200'}",
};

#define N(table) (sizeof(table) / sizeof((table)[0]))

/* The line, by both: they agree, and the texts are right. */
static void
compare(void)
{
	bool scanned = message_scan(&m, line, len);
	bool loaded = message_load(&other, line, len, &error) == 0;
	const char *what = NULL;

	if (scanned && !loaded)
		what = "taken by the scanner alone";
	if (scanned && loaded)
		what = messages_differ(&m, &other);
	if (what == NULL && loaded)
		what = message_check_raw(&other);
	ck_assert_msg(what == NULL, "%s: %.*s", what, (int)len, line);
}

START_TEST(scanner_reads_flat_lines)
{
	set_text(flat[_i]);
	ck_assert(message_scan(&m, line, len));
	compare();
}
END_TEST

START_TEST(scanner_leaves_the_rest_to_jansson)
{
	set_text(deep[_i]);
	ck_assert(!message_scan(&m, line, len));
	ck_assert_int_eq(message_load(&m, line, len, &error), 0);
	compare();
}
END_TEST

/* So that it may stand in a reply. */
static bool
is_utf8(const char *text)
{
	json_t *json = json_string(text);

	json_decref(json);
	return json != NULL;
}

START_TEST(what_is_not_json_is_a_parse_error)
{
	set_text(bad[_i]);
	ck_assert(!message_scan(&m, line, len));
	ck_assert_int_eq(message_parse(&m, line, len, &error), -1);
	ck_assert_int_eq(error.code, ERROR_PARSE);
	ck_assert(strncmp(error.message, "not JSON: ", 10) == 0);
	ck_assert_ptr_nonnull(strstr(error.message,
	    "; expected one JSON object a line"));
	ck_assert_msg(is_utf8(error.message), "no UTF-8: %s", error.message);
}
END_TEST

START_TEST(each_line_cut_short_is_an_error)
{
	for (size_t i = 0; i < N(flat) + N(deep); i++) {
		char *json = unit_json(i < N(flat) ? flat[i] :
						     deep[i - N(flat)]);
		size_t end = strrchr(json, '}') - json;

		for (size_t n = 0; n <= end; n++) {
			set_line(json, n);
			ck_assert(!message_scan(&m, line, len));
			ck_assert(message_parse(&m, line, len, &error) < 0);
		}
		free(json);
	}
}
END_TEST

START_TEST(blank_line_is_a_parse_error)
{
	static const char *const blank[] = { "", " ", "\t \r" };

	for (size_t i = 0; i < N(blank); i++) {
		set_text(blank[i]);
		ck_assert(message_parse(&m, line, len, &error) < 0);
		ck_assert_int_eq(error.code, ERROR_PARSE);
		ck_assert_str_eq(error.message,
		    "the line is blank, expected a JSON object");
	}
}
END_TEST

START_TEST(json_that_is_no_object_is_a_parse_error)
{
	static const char *const others[] = { "[1,'a']", "7", "-1.5e3", "'a'",
		"true", "null" };

	for (size_t i = 0; i < N(others); i++) {
		char *json = unit_json(others[i]);
		char expected[64];

		set_text(others[i]);
		ck_assert(message_parse(&m, line, len, &error) < 0);
		ck_assert_int_eq(error.code, ERROR_PARSE);
		snprintf(expected, sizeof(expected),
		    "found %s, expected a JSON object", json);
		ck_assert_str_eq(error.message, expected);
		free(json);
	}
}
END_TEST

START_TEST(nul_is_a_parse_error)
{
	static const char nul[] = "{\"cmd\":\"n\0w\"}";
	static const char behind[] = "{\"cmd\":\"now\"}\0";

	set_line(nul, sizeof(nul) - 1);
	ck_assert(message_parse(&m, line, len, &error) < 0);
	ck_assert_int_eq(error.code, ERROR_PARSE);
	set_line(behind, sizeof(behind) - 1);
	ck_assert(message_parse(&m, line, len, &error) < 0);
	ck_assert_int_eq(error.code, ERROR_PARSE);
}
END_TEST

/* --- shapes -------------------------------------------------------------- */

START_TEST(lines_with_the_same_names_have_one_shape)
{
	uint64_t shape;

	parse("{'cmd':'now','id':1}");
	shape = m.shape;
	parse(" { 'cmd' :true, 'id': 'x' } ");
	parse("{'cmd':'now','id':2}");
	shape = m.shape;
	parse("{'cmd':null, 'id':-1.5}");
	ck_assert_uint_eq(m.shape, shape);
	parse("{'cmd':'now'}");
	ck_assert_uint_ne(m.shape, shape);
}
END_TEST

#define SHAPES 3000

/* Some names, some twice in a line, some too long to be known again. */
static size_t
generate_names(char *text, size_t size)
{
	static const char *const names[] = { "a", "b", "ab", "watcher",
		"a_name_of_too_many_bytes", "\\u0061" };
	size_t n = 0;

	text[n++] = '{';
	for (unsigned i = unit_below(5); i > 0; i--)
		n += snprintf(text + n, size - n, "%s'%s':%zu",
		    n > 1 ? "," : "", names[unit_below(N(names))],
		    unit_below(2));
	text[n++] = '}';
	text[n] = '\0';
	return n;
}

/* The names alone; those that are twice in a line are refused. */
START_TEST(lines_of_one_shape_have_the_same_names)
{
	static char names[SHAPES][128];
	static uint64_t shapes[SHAPES];
	char text[128];
	size_t n = 0;

	for (size_t i = 0; i < SHAPES; i++) {
		if (unit_below(3) > 0 || i == 0)
			generate_names(text, sizeof(text));
		set_text(text);
		compare();
		if (message_parse(&m, line, len, &error) < 0)
			continue;
		names[n][0] = '\0';
		for (size_t k = 0; k < m.n; k++)
			snprintf(names[n] + strlen(names[n]),
			    sizeof(names[n]) - strlen(names[n]), "%.*s,",
			    (int)m.members[k].name.len, m.members[k].name.p);
		shapes[n] = m.shape;
		for (size_t k = 0; k < n; k++)
			if (shapes[k] == m.shape &&
			    strcmp(names[k], names[n]) != 0)
				ck_abort_msg("%s and %s", names[k], names[n]);
		n++;
	}
	ck_assert_uint_gt(n, SHAPES / 2);
}
END_TEST

/* A line of n brackets and what closes them. */
static int
parse_nested(size_t n)
{
	static char text[65536];
	char *p = text + sprintf(text, "{\"a\":");

	memset(p, '[', n);
	memset(p + n, ']', n);
	p[2 * n] = '}';
	set_line(text, p + 2 * n + 1 - text);
	return message_parse(&m, line, len, &error);
}

START_TEST(nesting_has_an_end)
{
	ck_assert_int_eq(parse_nested(2000), 0);
	ck_assert_int_eq(m.members[0].raw.len, 4000);
	ck_assert_int_eq(parse_nested(2048), -1);
	ck_assert_int_eq(error.code, ERROR_PARSE);
	ck_assert_int_eq(parse_nested(30000), -1);
	ck_assert_int_eq(error.code, ERROR_PARSE);
}
END_TEST

/* --- thousands of lines -------------------------------------------------- */

static void generate_value(struct buffer *, int depth);

/* One of a few strings. */
#define CHOICES(...)                                       \
	((const char *const[]){ __VA_ARGS__ })[unit_below( \
	    N(((const char *const[]){ __VA_ARGS__ })))]

static void
generate_text(struct buffer *b, const char *text)
{
	buffer_append(b, text, strlen(text));
}

static void
generate_space(struct buffer *b)
{
	if (unit_below(6) == 0)
		generate_text(b, CHOICES(" ", "\t", "\r", "  \t"));
}

static void
generate_string(struct buffer *b)
{
	bool plain = unit_below(4) > 0;

	buffer_putc(b, '"');
	for (size_t n = unit_below(8); n > 0; n--) {
		if (plain)
			buffer_putc(b, (char)('#' + unit_below(50)));
		else
			generate_text(b,
			    CHOICES("a", "\\n", "\\\"", "\\\\", "\\u0041",
				"\\/", "\303\251", "}", "]", ",", ":", " ",
				"\\ud83d\\ude00", "\177"));
	}
	buffer_putc(b, '"');
}

static void
generate_number(struct buffer *b)
{
	int digits = (int)unit_below(18);
	char text[64];

	snprintf(text, sizeof(text), "%.*f", (int)unit_below(8),
	    ((double)unit_random() / 0x1p64 - 0.5) * pow(10, digits));
	generate_text(b, text);
	if (unit_below(8) == 0)
		generate_text(b, CHOICES("e3", "E-2", "e+10", ".0", "0"));
}

static void
generate_list(struct buffer *b, int depth, char open, char close)
{
	buffer_putc(b, open);
	for (size_t n = unit_below(4), i = 0; i < n; i++) {
		if (i > 0)
			buffer_putc(b, ',');
		generate_space(b);
		if (open == '{') {
			generate_string(b);
			generate_space(b);
			buffer_putc(b, ':');
		}
		generate_space(b);
		generate_value(b, depth + 1);
		generate_space(b);
	}
	buffer_putc(b, close);
}

static void
generate_value(struct buffer *b, int depth)
{
	switch (unit_below(depth < 3 ? 10 : 8)) {
	case 0:
	case 1:
	case 2:
		generate_string(b);
		break;
	case 3:
	case 4:
	case 5:
		generate_number(b);
		break;
	case 6:
	case 7:
		generate_text(b, CHOICES("true", "false", "null"));
		break;
	case 8:
		generate_list(b, depth, '[', ']');
		break;
	case 9:
		generate_list(b, depth, '{', '}');
		break;
	}
}

/* A few bytes changed, taken out or put in. */
static void
mutate(struct buffer *b)
{
	for (size_t n = 1 + unit_below(3); n > 0 && buffer_len(b) > 0; n--) {
		size_t at = unit_below(buffer_len(b));
		char *p = buffer_data(b) + at;

		switch (unit_below(3)) {
		case 0:
			*p = (char)unit_random();
			break;
		case 1:
			memmove(p, p + 1, buffer_len(b) - at - 1);
			buffer_truncate(b, buffer_len(b) - 1);
			break;
		case 2:
			*p = *CHOICES("\"", "\\", ",", ":", "{", "}", "[", "]",
			    "0", ".", "-", "e", " ", "\t");
			break;
		}
	}
}

START_TEST(scanner_agrees_with_jansson_on_generated_lines)
{
	int scanned = 0;

	for (int i = 0; i < 20000; i++) {
		buffer_clear(&out);
		generate_list(&out, i % 2 ? 0 : 3, '{', '}');
		set_line(buffer_data(&out), buffer_len(&out));
		compare();
		scanned += message_scan(&m, line, len);
	}
	ck_assert_int_gt(scanned, 5000);
}
END_TEST

START_TEST(scanner_agrees_with_jansson_on_mutated_lines)
{
	for (int i = 0; i < 40000; i++) {
		buffer_clear(&out);
		generate_list(&out, i % 2 ? 0 : 3, '{', '}');
		mutate(&out);
		set_line(buffer_data(&out), buffer_len(&out));
		compare();
	}
}
END_TEST

START_TEST(parse_takes_what_jansson_takes)
{
	for (int i = 0; i < 20000; i++) {
		buffer_clear(&out);
		generate_list(&out, 0, '{', '}');
		if (i % 2)
			mutate(&out);
		set_line(buffer_data(&out), buffer_len(&out));
		ck_assert_int_eq(message_parse(&m, line, len, &error),
		    message_load(&other, line, len, &error));
	}
}
END_TEST

/* --- members ------------------------------------------------------------- */

START_TEST(values_have_their_kinds)
{
	static const enum member_kind kinds[] = { MEMBER_NULL, MEMBER_FALSE,
		MEMBER_TRUE, MEMBER_INTEGER, MEMBER_REAL, MEMBER_STRING,
		MEMBER_ARRAY, MEMBER_OBJECT };

	parse("{'a':null,'b':false,'c':true,'d':1,'e':1.0,'f':'','g':[],"
	      "'h':{}}");
	ck_assert_uint_eq(m.n, N(kinds));
	for (size_t i = 0; i < N(kinds); i++)
		ck_assert_int_eq(m.members[i].kind, kinds[i]);
}
END_TEST

START_TEST(raw_text_is_given_back_byte_for_byte)
{
	parse("{ 'a' : {'x' : [ 1,2 ],\t'y':'}' } ,'b':[ '\\u0041' , 1E2 ],"
	      "'c': '\\u00e9' ,'d':-1.50 ,'e':1e-2}");
	assert_slice(m.members[0].raw, "{\"x\" : [ 1,2 ],\t\"y\":\"}\" }");
	assert_slice(m.members[1].raw, "[ \"\\u0041\" , 1E2 ]");
	assert_slice(m.members[2].raw, "\"\\u00e9\"");
	assert_slice(m.members[2].string, "\303\251");
	assert_slice(m.members[3].raw, "-1.50");
	assert_slice(m.members[4].raw, "1e-2");
}
END_TEST

START_TEST(numbers_are_exact)
{
	parse("{'a':0.1,'b':123456789.012345,'c':-0.3,'d':1795397820.123456}");
	ck_assert(m.members[0].number == 0.1);
	ck_assert(m.members[1].number == 123456789.012345);
	ck_assert(m.members[2].number == -0.3);
	ck_assert(m.members[3].number == 1795397820.123456);
	parse("{'a':9223372036854775807,'b':-9223372036854775808,'c':5}");
	ck_assert_int_eq(m.members[0].integer, INT64_MAX);
	ck_assert_int_eq(m.members[1].integer, INT64_MIN);
	ck_assert(m.members[2].number == 5.0);
}
END_TEST

START_TEST(names_are_decoded)
{
	parse("{'\\u0063md':'n\\u006fw'}");
	ck_assert_ptr_nonnull(message_find(&m, "cmd"));
	assert_slice(message_find(&m, "cmd")->string, "now");
}
END_TEST

START_TEST(find_wants_the_whole_name)
{
	parse("{'cm':1,'cmd':2,'cmds':3,'':4}");
	ck_assert_int_eq(message_find(&m, "cmd")->integer, 2);
	ck_assert_int_eq(message_find(&m, "")->integer, 4);
	ck_assert_ptr_null(message_find(&m, "c"));
}
END_TEST

START_TEST(items_of_an_array)
{
	struct slice item;

	parse("{'a':['x',1,'\\u0079'],'b':[]}");
	ck_assert_uint_eq(message_items(&m.members[0]), 3);
	ck_assert_uint_eq(message_items(&m.members[1]), 0);
	ck_assert(message_item(&m.members[0], 0, &item));
	assert_slice(item, "x");
	ck_assert(!message_item(&m.members[0], 1, &item));
	ck_assert(message_item(&m.members[0], 2, &item));
	assert_slice(item, "y");
	ck_assert(!message_item(&m.members[0], 3, &item));
}
END_TEST

START_TEST(each_line_starts_anew)
{
	parse("{'a':[1],'b':2}");
	parse("{'c':3}");
	ck_assert_uint_eq(m.n, 1);
	ck_assert_ptr_null(m.tree);
	set_text("{'a':");
	ck_assert(message_parse(&m, line, len, &error) < 0);
	ck_assert_ptr_null(message_find(&m, "c"));
}
END_TEST

START_TEST(a_huge_list_is_not_kept)
{
	buffer_putc(&out, '{');
	for (unsigned i = 0; i < 5000; i++) {
		if (i > 0)
			buffer_putc(&out, ',');
		buffer_putc(&out, '\'');
		put_u64(&out, i);
		buffer_puts(&out, "':0");
	}
	buffer_putc(&out, '}');
	parse(unit_text(&out));
	ck_assert_uint_eq(m.n, 5000);
	assert_slice(m.members[4999].name, "4999");
	parse("{'a':1}");
	ck_assert_uint_lt(m.size, 300);
}
END_TEST

/* --- texts of errors ----------------------------------------------------- */

START_TEST(excerpt_is_cut_between_characters)
{
	char found[EXCERPT_SIZE];
	char text[80];

	ck_assert_str_eq(message_excerpt(found, (struct slice){ "abc", 3 }),
	    "abc");
	memset(text, 'x', sizeof(text));
	message_excerpt(found, (struct slice){ text, 64 });
	ck_assert_uint_eq(strlen(found), 64);
	message_excerpt(found, (struct slice){ text, 65 });
	ck_assert_uint_eq(strlen(found), 67);
	ck_assert_str_eq(found + 63, "x...");
	for (size_t n = 61; n < 64; n++) {
		memset(text, 'x', sizeof(text));
		memcpy(text + n, "\360\237\230\200", 4);
		message_excerpt(found, (struct slice){ text, 80 });
		ck_assert_str_eq(found + n, "...");
	}
}
END_TEST

START_TEST(error_message_is_cut_between_characters)
{
	char text[1024];

	for (size_t n = 500; n < 520; n++) {
		memset(text, 'x', n);
		memset(text + n, '\0', sizeof(text) - n);
		for (size_t i = n; i < 900; i += 2)
			memcpy(text + i, "\303\251", 2);
		ck_assert_int_eq(
		    error_set(&error, ERROR_NOT_SUPPORTED, "%s", text), -1);
		ck_assert_int_eq(error.code, ERROR_NOT_SUPPORTED);
		ck_assert_uint_ge(strlen(error.message), 508);
		ck_assert(is_utf8(error.message));
	}
}
END_TEST

START_TEST(short_error_message_is_whole)
{
	error_set(&error, ERROR_PARSE, "at %d: %s", 7, "\303\251");
	ck_assert_str_eq(error.message, "at 7: \303\251");
}
END_TEST

START_TEST(every_code_has_a_name)
{
	ck_assert_ptr_null(error_names[ERROR_NONE]);
	for (int i = ERROR_NONE + 1; i < ERROR_CODES; i++)
		ck_assert_ptr_nonnull(error_names[i]);
}
END_TEST

/* --- replies ------------------------------------------------------------- */

#define SLICE(s) ((struct slice){ (s), strlen(s) })

START_TEST(reply_with_and_without_id)
{
	message_reply_begin(&out, SLICE("{ \"a\":1 }"));
	put_member(&out, "freed");
	put_u64(&out, 3);
	message_reply_end(&out);
	message_reply_begin(&out, SLICE(""));
	message_reply_end(&out);
	ck_assert_str_eq(unit_text(&out),
	    "{\"id\":{ \"a\":1 },\"result\":{\"freed\":3}}\n{\"result\":{}}\n");
}
END_TEST

START_TEST(error_reply_says_what_is_known)
{
	error_set(&error, ERROR_NO_SUCH_WATCHER, "no \"x\"\n");
	message_reply_error(&out, SLICE("7"), &error, 12, SLICE("st\"op"),
	    SLICE("\"x\""));
	ck_assert_str_eq(unit_text(&out),
	    "{\"id\":7,\"error\":{\"code\":\"no-such-watcher\","
	    "\"message\":\"no \\\"x\\\"\\u000a\",\"line\":12,"
	    "\"cmd\":\"st\\\"op\",\"watcher\":\"x\"}}\n");
}
END_TEST

START_TEST(error_reply_leaves_out_what_is_not_known)
{
	static const struct slice none;

	error_set(&error, ERROR_PARSE, "no");
	message_reply_error(&out, none, &error, UINT64_MAX, none, none);
	message_reply_error(&out, none, &error, 1, SLICE(""), none);
	ck_assert_str_eq(unit_text(&out),
	    "{\"error\":{\"code\":\"parse-error\",\"message\":\"no\","
	    "\"line\":18446744073709551615}}\n"
	    "{\"error\":{\"code\":\"parse-error\",\"message\":\"no\","
	    "\"line\":1,\"cmd\":\"\"}}\n");
}
END_TEST

START_TEST(bye_with_and_without_message)
{
	message_bye(&out, "end", NULL);
	message_bye(&out, "limit-exceeded", "too \"many\"");
	ck_assert_str_eq(unit_text(&out),
	    "{\"event\":\"bye\",\"reason\":\"end\"}\n"
	    "{\"event\":\"bye\",\"reason\":\"limit-exceeded\","
	    "\"message\":\"too \\\"many\\\"\"}\n");
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("message", setup, teardown);

	tcase_add_loop_test(cases, scanner_reads_flat_lines, 0, N(flat));
	tcase_add_loop_test(cases, scanner_leaves_the_rest_to_jansson, 0,
	    N(deep));
	tcase_add_loop_test(cases, what_is_not_json_is_a_parse_error, 0,
	    N(bad));
	tcase_add_test(cases, each_line_cut_short_is_an_error);
	tcase_add_test(cases, blank_line_is_a_parse_error);
	tcase_add_test(cases, json_that_is_no_object_is_a_parse_error);
	tcase_add_test(cases, nul_is_a_parse_error);
	tcase_add_test(cases, nesting_has_an_end);
	tcase_add_test(cases, scanner_agrees_with_jansson_on_generated_lines);
	tcase_add_test(cases, scanner_agrees_with_jansson_on_mutated_lines);
	tcase_add_test(cases, parse_takes_what_jansson_takes);
	tcase_add_test(cases, values_have_their_kinds);
	tcase_add_test(cases, raw_text_is_given_back_byte_for_byte);
	tcase_add_test(cases, numbers_are_exact);
	tcase_add_test(cases, lines_with_the_same_names_have_one_shape);
	tcase_add_test(cases, lines_of_one_shape_have_the_same_names);
	tcase_add_test(cases, names_are_decoded);
	tcase_add_test(cases, find_wants_the_whole_name);
	tcase_add_test(cases, items_of_an_array);
	tcase_add_test(cases, each_line_starts_anew);
	tcase_add_test(cases, a_huge_list_is_not_kept);
	tcase_add_test(cases, excerpt_is_cut_between_characters);
	tcase_add_test(cases, error_message_is_cut_between_characters);
	tcase_add_test(cases, short_error_message_is_whole);
	tcase_add_test(cases, every_code_has_a_name);
	tcase_add_test(cases, reply_with_and_without_id);
	tcase_add_test(cases, error_reply_says_what_is_known);
	tcase_add_test(cases, error_reply_leaves_out_what_is_not_known);
	tcase_add_test(cases, bye_with_and_without_message);
	return unit_run(cases);
}
