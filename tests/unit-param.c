#include "config.h"

#include "param.h"

#include <string.h>

#include "unit.h"

#define N(table) (sizeof(table) / sizeof((table)[0]))

struct args {
	uint32_t given;
	bool flag;
	int64_t integer;
	double seconds;
	double period;
	struct slice string;
	const struct member *strings;
	struct name name;
	struct slice session;
	struct slice json;
};

static const struct param params[] = {
	PARAM("flag", PARAM_BOOL, struct args, flag),
	PARAM("integer", PARAM_INTEGER, struct args, integer, .min = -2,
	    .max = 10),
	PARAM("seconds", PARAM_SECONDS, struct args, seconds, .min = 0,
	    .max = SECONDS_MAX),
	PARAM("period", PARAM_PERIOD, struct args, period, .min = 1e-6,
	    .max = SECONDS_MAX),
	PARAM("string", PARAM_STRING, struct args, string),
	PARAM("strings", PARAM_STRINGS, struct args, strings),
	PARAM("name", PARAM_NAME, struct args, name),
	PARAM("session", PARAM_SESSION, struct args, session),
	PARAM("json", PARAM_JSON, struct args, json),
};

/* A second table: sets are searched one after the other. */
struct more_args {
	uint32_t given;
	int64_t wide;
	bool needed;
};

static const struct param more_params[] = {
	PARAM("wide", PARAM_INTEGER, struct more_args, wide,
	    .min = -INTEGER_MAX, .max = INTEGER_MAX),
	PARAM("needed", PARAM_BOOL, struct more_args, needed, .required = true),
};

static struct message m;
static struct param_plan plan; /* of the test's lines before */
static struct args args;
static struct more_args more;
static struct error error;
static char *line;

static void
setup(void)
{
	message_init(&m);
}

static void
teardown(void)
{
	message_fini(&m);
	free(line);
}

static void
read_line(const char *text)
{
	free(line);
	line = unit_json(text);
	ck_assert_int_eq(message_parse(&m, line, strlen(line), &error), 0);
}

static int
parse_sets(const char *text, size_t n_sets)
{
	struct param_set sets[] = {
		{ params, N(params), &args },
		{ more_params, N(more_params), &more },
	};

	read_line(text);
	args = (struct args){ 0 };
	more = (struct more_args){ 0 };
	error.code = ERROR_NONE;
	return param_parse(&m, sets, n_sets, &plan, &error);
}

static void
accept(const char *text)
{
	ck_assert_msg(parse_sets(text, 1) == 0, "%s: %s", text, error.message);
}

/* A line is refused, and this is said; ' stands for ". */
static void
refuse(const char *text, const char *message)
{
	char *expected = unit_json(message);

	ck_assert_msg(parse_sets(text, 1) == -1, "%s was accepted", text);
	ck_assert_int_eq(error.code, ERROR_INVALID_ARGUMENT);
	ck_assert_str_eq(error.message, expected);
	free(expected);
}

static void
assert_slice(struct slice s, const char *text)
{
	ck_assert_msg(slice_is(s, text), "'%.*s' is not '%s'", (int)s.len, s.p,
	    text);
}

/* --- which members ------------------------------------------------------- */

START_TEST(only_what_is_there_is_given)
{
	accept("{'seconds':1.5,'flag':true}");
	ck_assert_uint_eq(args.given, PARAM_BIT(0) | PARAM_BIT(2));
	ck_assert(args.flag);
	ck_assert(args.seconds == 1.5);
	ck_assert_int_eq(args.integer, 0);
	accept("{}");
	ck_assert_uint_eq(args.given, 0);
}
END_TEST

START_TEST(members_go_to_the_set_that_knows_them)
{
	ck_assert_int_eq(parse_sets("{'wide':7,'needed':false,'integer':8}", 2),
	    0);
	ck_assert_uint_eq(args.given, PARAM_BIT(1));
	ck_assert_uint_eq(more.given, PARAM_BIT(0) | PARAM_BIT(1));
	ck_assert_int_eq(args.integer, 8);
	ck_assert_int_eq(more.wide, 7);
}
END_TEST

START_TEST(unknown_member_is_refused_with_what_is_known)
{
	refuse("{'flog':true}",
	    "member 'flog' is unknown, expected of: flag, integer, seconds, "
	    "period, string, strings, name, session, json");
	refuse("{'flags':true}",
	    "member 'flags' is unknown, expected of: flag, integer, seconds, "
	    "period, string, strings, name, session, json");
	ck_assert_int_eq(parse_sets("{'needed':true,'x':1}", 2), -1);
	ck_assert_ptr_nonnull(strstr(error.message,
	    "session, json, wide, needed"));
}
END_TEST

START_TEST(missing_member_is_refused_with_what_it_would_be)
{
	ck_assert_int_eq(parse_sets("{'wide':1}", 2), -1);
	ck_assert_int_eq(error.code, ERROR_INVALID_ARGUMENT);
	ck_assert_str_eq(error.message,
	    "member \"needed\" is missing, expected true or false");
}
END_TEST

/* What is known of a shape holds for its lines alone. */
START_TEST(lines_of_many_shapes)
{
	for (int i = 0; i < 3; i++) {
		accept("{'flag':true,'integer':3}");
		accept("{'flag':true,'integer':4}");
		ck_assert_int_eq(args.integer, 4);
		refuse("{'flag':7,'integer':4}",
		    "member 'flag' is 7, expected true or false");
		accept("{'integer':5,'flag':false}");
		ck_assert_int_eq(args.integer, 5);
		ck_assert_uint_eq(args.given, 3);
		ck_assert_int_eq(parse_sets("{'integer':5,'flags':1}", 1), -1);
		ck_assert_int_eq(parse_sets("{'integer':5,'wide':1}", 1), -1);
		ck_assert_int_eq(parse_sets("{'integer':5,'wide':1}", 2), -1);
		ck_assert_int_eq(parse_sets("{'needed':true,'wide':7}", 2), 0);
		ck_assert_int_eq(parse_sets("{'needed':true,'wide':8}", 2), 0);
		ck_assert_int_eq(more.wide, 8);
		ck_assert_uint_eq(args.given, 0);
		accept("{'integer':6}");
		ck_assert_uint_eq(args.given, 2);
	}
}
END_TEST

START_TEST(all_members_at_once)
{
	accept("{'flag':false,'integer':1,'seconds':2,'period':3,"
	       "'string':'s','strings':['a'],'name':'n','session':'t',"
	       "'json':{}}");
	ck_assert_uint_eq(args.given, PARAM_BIT(N(params)) - 1);
}
END_TEST

/* --- kinds --------------------------------------------------------------- */

#define REFUSED_BOOL(x)          \
	refuse("{'flag':" x "}", \
	    "member 'flag' is " x ", expected true or false")

START_TEST(booleans)
{
	accept("{'flag':true}");
	ck_assert(args.flag);
	accept("{'flag':false}");
	ck_assert(!args.flag);
	REFUSED_BOOL("1");
	REFUSED_BOOL("null");
	REFUSED_BOOL("'true'");
	REFUSED_BOOL("[true]");
}
END_TEST

#define REFUSED_INTEGER(x)          \
	refuse("{'integer':" x "}", \
	    "member 'integer' is " x ", expected an integer from -2 to 10")

START_TEST(integers_and_their_range)
{
	accept("{'integer':-2}");
	ck_assert_int_eq(args.integer, -2);
	accept("{'integer':10}");
	ck_assert_int_eq(args.integer, 10);
	REFUSED_INTEGER("-3");
	REFUSED_INTEGER("11");
	REFUSED_INTEGER("9223372036854775807");
	REFUSED_INTEGER("-9223372036854775808");
	REFUSED_INTEGER("1.0");
	REFUSED_INTEGER("1e0");
	REFUSED_INTEGER("'1'");
	REFUSED_INTEGER("null");
	REFUSED_INTEGER("true");
}
END_TEST

START_TEST(integers_are_exact_to_2_to_the_53)
{
	ck_assert_int_eq(
	    parse_sets("{'wide':9007199254740991,'needed':true}", 2), 0);
	ck_assert_int_eq(more.wide, INTEGER_MAX);
	ck_assert_int_eq(
	    parse_sets("{'wide':9007199254740992,'needed':true}", 2), -1);
	ck_assert_int_eq(
	    parse_sets("{'wide':-9007199254740992,'needed':true}", 2), -1);
	ck_assert_str_eq(error.message,
	    "member \"wide\" is -9007199254740992, expected an integer from "
	    "-9007199254740991 to 9007199254740991");
}
END_TEST

#define REFUSED_SECONDS(x)           \
	refuse("{'seconds':" x "}",  \
	    "member 'seconds' is " x \
	    ", expected a number of seconds from 0 to 1e+10")

START_TEST(seconds_and_their_range)
{
	accept("{'seconds':0}");
	accept("{'seconds':-0.0}");
	accept("{'seconds':10000000000}");
	ck_assert(args.seconds == 1e10);
	accept("{'seconds':2.5e-3}");
	ck_assert(args.seconds == 0.0025);
	REFUSED_SECONDS("-1");
	REFUSED_SECONDS("-1e-300");
	REFUSED_SECONDS("10000000000.1");
	REFUSED_SECONDS("1e308");
	REFUSED_SECONDS("'1'");
	REFUSED_SECONDS("null");
}
END_TEST

#define REFUSED_PERIOD(x)           \
	refuse("{'period':" x "}",  \
	    "member 'period' is " x \
	    ", expected 0 or a number of seconds from 1e-06 to 1e+10")

START_TEST(periods_are_0_or_long_enough)
{
	accept("{'period':0}");
	accept("{'period':0.0}");
	accept("{'period':0.000001}");
	ck_assert(args.period == 1e-6);
	accept("{'period':1e10}");
	REFUSED_PERIOD("0.0000009");
	REFUSED_PERIOD("-1");
	REFUSED_PERIOD("10000000001");
	REFUSED_PERIOD("false");
}
END_TEST

START_TEST(strings)
{
	accept("{'string':'a\\u0062\\n'}");
	assert_slice(args.string, "ab\n");
	accept("{'string':''}");
	ck_assert_uint_eq(args.string.len, 0);
	refuse("{'string':5}", "member 'string' is 5, expected a string");
	refuse("{'string':['a']}",
	    "member 'string' is ['a'], expected a string");
}
END_TEST

START_TEST(arrays_of_strings)
{
	accept("{'strings':[]}");
	ck_assert_uint_eq(message_items(args.strings), 0);
	accept("{'strings':['a','b']}");
	ck_assert_uint_eq(message_items(args.strings), 2);
	refuse("{'strings':['a',1]}",
	    "member 'strings' is ['a',1], expected an array of strings");
	refuse("{'strings':'a'}",
	    "member 'strings' is 'a', expected an array of strings");
	refuse("{'strings':{}}",
	    "member 'strings' is {}, expected an array of strings");
}
END_TEST

START_TEST(any_json_as_it_stands)
{
	accept("{'json':{ 'a' : [1, 2.50] }}");
	assert_slice(args.json, "{ \"a\" : [1, 2.50] }");
	accept("{'json':null}");
	assert_slice(args.json, "null");
	accept("{'json':'\\u0041'}");
	assert_slice(args.json, "\"\\u0041\"");
}
END_TEST

/* A line whose one member is a string of n bytes. */
static int
parse_long(const char *name, size_t n)
{
	static char text[8192];
	int at = sprintf(text, "{'%s':'", name);

	memset(text + at, 'x', n);
	strcpy(text + at + n, "'}");
	return parse_sets(text, 1);
}

START_TEST(json_has_a_length)
{
	ck_assert_int_eq(parse_long("json", JSON_SIZE_MAX - 2), 0);
	ck_assert_uint_eq(args.json.len, JSON_SIZE_MAX);
	ck_assert_int_eq(parse_long("json", JSON_SIZE_MAX - 1), -1);
	ck_assert_str_eq(error.message,
	    "member \"json\" is \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	    "xxxxxxxxxxxxxxxxxx... (4097 bytes), expected JSON of at most "
	    "4096 bytes");
}
END_TEST

/* --- names --------------------------------------------------------------- */

static void
accept_name(const char *value, const char *canonical)
{
	char text[64], *expected = unit_json(canonical);

	snprintf(text, sizeof(text), "{'name':%s}", value);
	accept(text);
	assert_slice(args.name.json, expected);
	free(expected);
}

START_TEST(names_have_one_form)
{
	accept_name("'tick'", "'tick'");
	accept_name("'t\\u0069ck'", "'tick'");
	accept_name("'a\\/b'", "'a/b'");
	accept_name("'\\\\'", "'\\\\'");
	accept_name("'\\u005c'", "'\\\\'");
	accept_name("'\\u0022x'", "'\\\"x'");
	accept_name("'\303\251'", "'\303\251'");
	accept_name("'\\u00e9'", "'\303\251'");
	accept_name("'\\ud83d\\ude00'", "'\360\237\230\200'");
}
END_TEST

START_TEST(names_may_be_integers)
{
	accept_name("0", "0");
	accept_name("-0", "0");
	accept_name("5", "5");
	accept_name("'5'", "'5'");
	accept_name("9007199254740991", "9007199254740991");
}
END_TEST

#define REFUSED_NAME(x)                                                      \
	refuse("{'name':" x "}",                                             \
	    "member 'name' is " x ", expected a name: a string of 1 to 255 " \
	    "bytes without control characters that does not begin with #, "  \
	    "or an integer from 0 to 9007199254740991")

START_TEST(what_is_no_name)
{
	REFUSED_NAME("''");
	REFUSED_NAME("'#1'");
	REFUSED_NAME("'\\u00231'");
	REFUSED_NAME("'a\\n'");
	REFUSED_NAME("'\\u007f'");
	REFUSED_NAME("'\177'");
	REFUSED_NAME("'\\u0080'");
	REFUSED_NAME("'x\302\237'");
	REFUSED_NAME("-1");
	REFUSED_NAME("9007199254740992");
	REFUSED_NAME("1.0");
	REFUSED_NAME("1e1");
	REFUSED_NAME("null");
	REFUSED_NAME("true");
	REFUSED_NAME("['a']");
}
END_TEST

START_TEST(names_that_only_look_like_it)
{
	accept_name("'a#'", "'a#'");
	accept_name("' '", "' '");
	accept_name("'\302\240'", "'\302\240'");
	accept_name("'\303\202x'", "'\303\202x'");
	accept_name("'null'", "'null'");
}
END_TEST

START_TEST(names_have_a_length)
{
	ck_assert_int_eq(parse_long("name", NAME_SIZE_MAX), 0);
	ck_assert_uint_eq(args.name.json.len, NAME_SIZE_MAX + 2);
	ck_assert_int_eq(parse_long("name", NAME_SIZE_MAX + 1), -1);
	ck_assert_int_eq(parse_long("session", NAME_SIZE_MAX), 0);
	ck_assert_int_eq(parse_long("session", NAME_SIZE_MAX + 1), -1);
}
END_TEST

/* The length is that of the decoded name, and there is room for all. */
START_TEST(longest_name_of_escapes)
{
	char text[6 * NAME_SIZE_MAX + 32] = "{'name':'";

	for (int i = 0; i < NAME_SIZE_MAX; i++)
		strcat(text, "\\u0022");
	strcat(text, "'}");
	accept(text);
	ck_assert_uint_eq(args.name.json.len, 2 * NAME_SIZE_MAX + 2);
}
END_TEST

START_TEST(session_names_are_strings)
{
	accept("{'session':'\\u0061'}");
	assert_slice(args.session, "a");
	refuse("{'session':5}",
	    "member 'session' is 5, expected a string of 1 to 255 bytes "
	    "without control characters that does not begin with #");
	refuse("{'session':'#5'}",
	    "member 'session' is '#5', expected a string of 1 to 255 bytes "
	    "without control characters that does not begin with #");
	ck_assert_int_eq(parse_sets("{'session':''}", 1), -1);
}
END_TEST

START_TEST(one_name_alone)
{
	struct name name;

	read_line("{'watcher':'\\u0061','bad':''}");
	ck_assert_int_eq(param_parse_name(&m, &m.members[0], &name, &error), 0);
	assert_slice(name.json, "\"a\"");
	ck_assert_int_eq(param_parse_name(&m, &m.members[1], &name, &error),
	    -1);
	ck_assert_int_eq(error.code, ERROR_INVALID_ARGUMENT);
	ck_assert_ptr_nonnull(strstr(error.message,
	    "member \"watcher\" is \"\", expected"));
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("param", setup, teardown);

	tcase_add_test(cases, only_what_is_there_is_given);
	tcase_add_test(cases, members_go_to_the_set_that_knows_them);
	tcase_add_test(cases, unknown_member_is_refused_with_what_is_known);
	tcase_add_test(cases, missing_member_is_refused_with_what_it_would_be);
	tcase_add_test(cases, lines_of_many_shapes);
	tcase_add_test(cases, all_members_at_once);
	tcase_add_test(cases, booleans);
	tcase_add_test(cases, integers_and_their_range);
	tcase_add_test(cases, integers_are_exact_to_2_to_the_53);
	tcase_add_test(cases, seconds_and_their_range);
	tcase_add_test(cases, periods_are_0_or_long_enough);
	tcase_add_test(cases, strings);
	tcase_add_test(cases, arrays_of_strings);
	tcase_add_test(cases, any_json_as_it_stands);
	tcase_add_test(cases, json_has_a_length);
	tcase_add_test(cases, names_have_one_form);
	tcase_add_test(cases, names_may_be_integers);
	tcase_add_test(cases, what_is_no_name);
	tcase_add_test(cases, names_that_only_look_like_it);
	tcase_add_test(cases, names_have_a_length);
	tcase_add_test(cases, longest_name_of_escapes);
	tcase_add_test(cases, session_names_are_strings);
	tcase_add_test(cases, one_name_alone);
	return unit_run(cases);
}
