#include "config.h"

#include "base64.h"

#include <string.h>

#include "unit.h"

static void
assert_decodes(const char *text, const char *bytes, int len)
{
	char out[64];

	ck_assert_int_eq(base64_decode(text, strlen(text), NULL), len);
	ck_assert_int_eq(base64_decode(text, strlen(text), out), len);
	if (len > 0)
		ck_assert_mem_eq(out, bytes, len);
}

/* Of RFC 4648, section 10, and the ends of the alphabet. */
START_TEST(known_texts)
{
	assert_decodes("", "", 0);
	assert_decodes("Zg==", "f", 1);
	assert_decodes("Zm8=", "fo", 2);
	assert_decodes("Zm9v", "foo", 3);
	assert_decodes("Zm9vYg==", "foob", 4);
	assert_decodes("Zm9vYmE=", "fooba", 5);
	assert_decodes("Zm9vYmFy", "foobar", 6);
	assert_decodes("AAAA", "\0\0\0", 3);
	assert_decodes("////", "\377\377\377", 3);
	assert_decodes("+/+/", "\373\377\277", 3);
}
END_TEST

START_TEST(what_is_no_base64)
{
	static const char *const texts[] = { "Z", "Zg", "Zg=", "Zm8", "=",
		"====", "Z===", "Zg==Zg==", "Zm9=v", "Zm 9", "Zm9\n",
		"Zh==", "Zm9=", "Zm-_", "\377\377\377\377" };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_msg(base64_decode(texts[i], strlen(texts[i]), NULL) <
			0,
		    "%s", texts[i]);
	ck_assert_int_lt(base64_decode("Zm\0v", 4, NULL), 0);
}
END_TEST

START_TEST(what_is_put_reads_back)
{
	char bytes[100], out[BASE64_DECODED_MAX(136)];
	struct buffer b;

	for (size_t len = 0; len < sizeof(bytes); len++) {
		for (size_t i = 0; i < len; i++)
			bytes[i] = (char)unit_random();
		buffer_init(&b, NULL);
		base64_put(&b, bytes, len);
		ck_assert_uint_eq(buffer_len(&b), (len + 2) / 3 * 4 + 2);
		ck_assert_int_eq(base64_decode(buffer_data(&b) + 1,
				     buffer_len(&b) - 2, out),
		    len);
		ck_assert_mem_eq(out, bytes, len);
		buffer_fini(&b);
	}
}
END_TEST

int
main(void)
{
	TCase *cases = unit_cases("base64", NULL, NULL);

	tcase_add_test(cases, known_texts);
	tcase_add_test(cases, what_is_no_base64);
	tcase_add_test(cases, what_is_put_reads_back);
	return unit_run(cases);
}
