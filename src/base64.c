#include "config.h"

#include "base64.h"

#include <stdint.h>
#include <string.h>

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* What a digit stands for, or -1. */
static int
base64_value(char c)
{
	const char *digit = c == '\0' ? NULL : strchr(base64_digits, c);

	return digit == NULL ? -1 : (int)(digit - base64_digits);
}

int
base64_decode(const char *text, size_t len, char *out)
{
	size_t n = 0, pad = 0;
	uint32_t bits = 0;

	if (len % 4 != 0)
		return -1;
	while (pad < 2 && pad < len && text[len - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < len - pad; i++) {
		int value = base64_value(text[i]);

		if (value < 0)
			return -1;
		bits = bits << 6 | (uint32_t)value;
		if (i % 4 == 0)
			continue;
		if (out != NULL)
			out[n] = (char)(bits >> (6 - i % 4 * 2));
		n++;
	}
	/* The bits that are no byte's must be 0: one text for each value. */
	if (bits & ((1U << (2 * pad)) - 1))
		return -1;
	return (int)n;
}

void
base64_put(struct buffer *b, const char *bytes, size_t len)
{
	const unsigned char *p = (const unsigned char *)bytes;

	buffer_putc(b, '"');
	for (size_t i = 0; i < len; i += 3) {
		uint32_t bits = (uint32_t)p[i] << 16 |
		    (uint32_t)(i + 1 < len ? p[i + 1] : 0) << 8 |
		    (i + 2 < len ? p[i + 2] : 0);

		buffer_putc(b, base64_digits[bits >> 18]);
		buffer_putc(b, base64_digits[bits >> 12 & 63]);
		buffer_putc(b,
		    i + 1 < len ? base64_digits[bits >> 6 & 63] : '=');
		buffer_putc(b, i + 2 < len ? base64_digits[bits & 63] : '=');
	}
	buffer_putc(b, '"');
}
