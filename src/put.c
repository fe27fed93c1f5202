#include "config.h"

#include "put.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DIGITS_MAX 20 /* of 2^64 */

/*
 * Writes the digits of n before end; returns where they begin.  Two for each
 * division: half of the work of a line is numbers.
 */
static char *
put_digits(char *end, uint64_t n)
{
	static const char pairs[] = "00010203040506070809"
				    "10111213141516171819"
				    "20212223242526272829"
				    "30313233343536373839"
				    "40414243444546474849"
				    "50515253545556575859"
				    "60616263646566676869"
				    "70717273747576777879"
				    "80818283848586878889"
				    "90919293949596979899";

	for (; n >= 100; n /= 100)
		memcpy(end -= 2, pairs + n % 100 * 2, 2);
	if (n >= 10)
		memcpy(end -= 2, pairs + n * 2, 2);
	else
		*--end = (char)('0' + n);
	return end;
}

void
put_u64(struct buffer *b, uint64_t n)
{
	char digits[DIGITS_MAX];
	char *end = digits + sizeof(digits);
	char *start = put_digits(end, n);

	buffer_append(b, start, end - start);
}

void
put_i64(struct buffer *b, int64_t n)
{
	if (n < 0)
		buffer_putc(b, '-');
	put_u64(b, n < 0 ? -(uint64_t)n : (uint64_t)n);
}

void
put_decimals(struct buffer *b, uint64_t n, int digits)
{
	char text[DIGITS_MAX];
	char *end = text + sizeof(text);
	char *start = put_digits(end, n);

	while (end - start < digits)
		*--start = '0';
	buffer_append(b, start, (size_t)digits);
}

static void
put_fixed(struct buffer *b, double x, uint64_t unit, int decimals)
{
	uint64_t whole, part;

	if (!(fabs(x) < 1e15)) {
		buffer_puts(b, "null");
		return;
	}
	if (x < 0) {
		buffer_putc(b, '-');
		x = -x;
	}
	whole = (uint64_t)x;
	part = (uint64_t)llround((x - (double)whole) * (double)unit);
	if (part == unit) {
		whole++;
		part = 0;
	}
	put_u64(b, whole);
	buffer_putc(b, '.');
	put_decimals(b, part, decimals);
}

void
put_time(struct buffer *b, double seconds)
{
	put_fixed(b, seconds, 1000000, 6);
}

void
put_time_ns(struct buffer *b, double seconds)
{
	put_fixed(b, seconds, 1000000000, 9);
}

void
put_double(struct buffer *b, double x)
{
	char text[32];
	int n;

	if (!isfinite(x)) {
		buffer_puts(b, "null");
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		n = snprintf(text, sizeof(text), "%.*g", digits, x);
		if (strtod(text, NULL) == x)
			break;
	}
	buffer_append(b, text, n);
}

void
put_string(struct buffer *b, const char *s, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	/* At worst each byte becomes \u00NN. */
	char *out = buffer_reserve(b, 6 * len + 2);
	char *start = out;

	*out++ = '"';
	for (size_t i = 0; i < len; i++) {
		unsigned char c = s[i];

		if (c == '"' || c == '\\') {
			*out++ = '\\';
			*out++ = c;
		} else if (c < 0x20 || c == 0x7f) {
			memcpy(out, "\\u00", 4);
			out[4] = hex[c >> 4];
			out[5] = hex[c & 15];
			out += 6;
		} else {
			*out++ = c;
		}
	}
	*out++ = '"';
	buffer_commit(b, out - start);
}

void
put_errno(struct buffer *b, int err)
{
	const char *name = strerrorname_np(err);

	if (name == NULL)
		name = "errno";
	put_string(b, name, strlen(name));
}

void
put_member(struct buffer *b, const char *key)
{
	if (b->data[b->end - 1] != '{')
		buffer_putc(b, ',');
	buffer_putc(b, '"');
	buffer_append(b, key, strlen(key));
	buffer_puts(b, "\":");
}
