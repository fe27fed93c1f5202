#include "config.h"

#include "put.h"

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "unit.h"

static struct buffer b;

static void
setup(void)
{
	buffer_init(&b, NULL);
}

static void
teardown(void)
{
	buffer_fini(&b);
}

/* What one call of put_NAME() writes. */
#define PUT(name, ...) \
	(buffer_clear(&b), put_##name(&b, __VA_ARGS__), unit_text(&b))

START_TEST(integers)
{
	ck_assert_str_eq(PUT(u64, 0), "0");
	ck_assert_str_eq(PUT(u64, 9), "9");
	ck_assert_str_eq(PUT(u64, 10), "10");
	ck_assert_str_eq(PUT(u64, UINT64_MAX), "18446744073709551615");
	ck_assert_str_eq(PUT(i64, 0), "0");
	ck_assert_str_eq(PUT(i64, -1), "-1");
	ck_assert_str_eq(PUT(i64, INT32_MIN), "-2147483648");
	ck_assert_str_eq(PUT(i64, INT64_MAX), "9223372036854775807");
	ck_assert_str_eq(PUT(i64, INT64_MIN), "-9223372036854775808");
}
END_TEST

START_TEST(times_have_their_decimals)
{
	ck_assert_str_eq(PUT(time, 0), "0.000000");
	ck_assert_str_eq(PUT(time, 0.25), "0.250000");
	ck_assert_str_eq(PUT(time, 1e-6), "0.000001");
	ck_assert_str_eq(PUT(time, -1.5), "-1.500000");
	ck_assert_str_eq(PUT(time, 1795397820.123456), "1795397820.123456");
	ck_assert_str_eq(PUT(time_ns, 0.25), "0.250000000");
	ck_assert_str_eq(PUT(time_ns, 1e-9), "0.000000001");
	ck_assert_str_eq(PUT(time_ns, 12345.123456789), "12345.123456789");
}
END_TEST

START_TEST(times_are_rounded_and_carried)
{
	ck_assert_str_eq(PUT(time, 0.0000004), "0.000000");
	ck_assert_str_eq(PUT(time, 0.0000006), "0.000001");
	ck_assert_str_eq(PUT(time, 1.9999999), "2.000000");
	ck_assert_str_eq(PUT(time, 99.9999996), "100.000000");
	ck_assert_str_eq(PUT(time, -1.9999999), "-2.000000");
	ck_assert_str_eq(PUT(time_ns, 0.9999999999), "1.000000000");
}
END_TEST

START_TEST(times_that_are_none_are_null)
{
	ck_assert_str_eq(PUT(time, NAN), "null");
	ck_assert_str_eq(PUT(time, INFINITY), "null");
	ck_assert_str_eq(PUT(time, -INFINITY), "null");
	ck_assert_str_eq(PUT(time, 1e15), "null");
	ck_assert_str_eq(PUT(time, -1e300), "null");
	ck_assert_str_eq(PUT(time, 999999999999999.0),
	    "999999999999999.000000");
}
END_TEST

START_TEST(times_are_within_half_a_decimal)
{
	for (int i = 0; i < 50000; i++) {
		double x = ((double)unit_random() / 0x1p64 - 0.5) *
		    pow(10, (double)unit_below(12));
		double ulp = fabs(x) * DBL_EPSILON;

		ck_assert_double_le(fabs(strtod(PUT(time, x), NULL) - x),
		    0.5e-6 + ulp);
		ck_assert_double_le(fabs(strtod(PUT(time_ns, x), NULL) - x),
		    0.5e-9 + ulp);
	}
}
END_TEST

START_TEST(doubles_are_short)
{
	ck_assert_str_eq(PUT(double, 0), "0");
	ck_assert_str_eq(PUT(double, 0.1), "0.1");
	ck_assert_str_eq(PUT(double, 3600), "3600");
	ck_assert_str_eq(PUT(double, 1e10), "10000000000");
	ck_assert_str_eq(PUT(double, 1e-9), "1e-09");
	ck_assert_str_eq(PUT(double, 1.0 / 3), "0.3333333333333333");
	ck_assert_str_eq(PUT(double, NAN), "null");
	ck_assert_str_eq(PUT(double, INFINITY), "null");
}
END_TEST

START_TEST(doubles_read_back_as_they_were)
{
	for (int i = 0; i < 50000; i++) {
		uint64_t bits = unit_random();
		json_t *read;
		double x;

		memcpy(&x, &bits, sizeof(x));
		if (!isfinite(x))
			continue;
		read = json_loads(PUT(double, x), JSON_DECODE_ANY, NULL);
		ck_assert_msg(json_is_number(read), "%s", unit_text(&b));
		ck_assert(json_number_value(read) == x);
		json_decref(read);
	}
}
END_TEST

START_TEST(strings_are_escaped)
{
	ck_assert_str_eq(PUT(string, "", 0), "\"\"");
	ck_assert_str_eq(PUT(string, "tick", 4), "\"tick\"");
	ck_assert_str_eq(PUT(string, "a\"b\\c/", 6), "\"a\\\"b\\\\c/\"");
	ck_assert_str_eq(PUT(string, "a\nb\0c", 5), "\"a\\u000ab\\u0000c\"");
	ck_assert_str_eq(PUT(string, "\x1f\x20\x7f", 3), "\"\\u001f \\u007f\"");
	ck_assert_str_eq(PUT(string, "\303\251\360\237\230\200", 6),
	    "\"\303\251\360\237\230\200\"");
}
END_TEST

START_TEST(strings_read_back_as_they_were)
{
	char all[0x80];

	for (int len = 0; len <= 0x80; len++) {
		json_t *read;

		for (int i = 0; i < len; i++)
			all[i] = (char)(0x7f - i);
		read = json_loads(PUT(string, all, len),
		    JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		ck_assert_uint_eq(json_string_length(read), len);
		ck_assert(memcmp(json_string_value(read), all, len) == 0);
		json_decref(read);
	}
}
END_TEST

START_TEST(string_of_escapes_alone_has_room)
{
	static char nul[10000];

	PUT(string, nul, sizeof(nul));
	ck_assert_uint_eq(buffer_len(&b), 6 * sizeof(nul) + 2);
}
END_TEST

START_TEST(members_have_commas_between_them)
{
	buffer_putc(&b, '{');
	put_member(&b, "one");
	put_u64(&b, 1);
	put_member(&b, "two");
	put_u64(&b, 2);
	put_key(&b, "three");
	put_u64(&b, 3);
	ck_assert_str_eq(unit_text(&b), "{\"one\":1,\"two\":2,\"three\":3");
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("put", setup, teardown);

	tcase_add_test(cases, integers);
	tcase_add_test(cases, times_have_their_decimals);
	tcase_add_test(cases, times_are_rounded_and_carried);
	tcase_add_test(cases, times_that_are_none_are_null);
	tcase_add_test(cases, times_are_within_half_a_decimal);
	tcase_add_test(cases, doubles_are_short);
	tcase_add_test(cases, doubles_read_back_as_they_were);
	tcase_add_test(cases, strings_are_escaped);
	tcase_add_test(cases, strings_read_back_as_they_were);
	tcase_add_test(cases, string_of_escapes_alone_has_room);
	tcase_add_test(cases, members_have_commas_between_them);
	return unit_run(cases);
}
