#include "config.h"

#include "text.h"

#include <langinfo.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

/* Characters that show nothing, or change how others are shown. */
static const struct {
	uint32_t first, last;
} text_hidden[] = {
	{ 0x00ad, 0x00ad },
	{ 0x061c, 0x061c },
	{ 0x180e, 0x180e },
	{ 0x200b, 0x200f },
	{ 0x2028, 0x202e },
	{ 0x2060, 0x206f },
	{ 0xfeff, 0xfeff },
	{ 0xfff9, 0xfffb },
	{ 0xe0000, 0xe0fff },
};

#define N_HIDDEN (sizeof(text_hidden) / sizeof(text_hidden[0]))

/* Reads one character; returns its bytes, or 0 if there is none. */
static size_t
text_decode(const char *p, size_t len, uint32_t *c)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char first = *p;
	size_t n = first < 0x80 ? 1 :
	    first < 0xc0	? 0 :
	    first < 0xe0	? 2 :
	    first < 0xf0	? 3 :
	    first < 0xf8	? 4 :
				  0;

	if (n == 0 || n > len)
		return 0;
	*c = n == 1 ? first : first & (0x7f >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		*c = *c << 6 | (p[i] & 0x3f);
	}
	return *c < least[n] || *c > 0x10ffff || (*c >= 0xd800 && *c < 0xe000) ?
	    0 :
	    n;
}

static bool
text_is_printable(uint32_t c)
{
	if (c < 0x7f)
		return c >= 0x20;
	if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
		return false;
	for (size_t i = 0; i < N_HIDDEN; i++)
		if (c >= text_hidden[i].first && c <= text_hidden[i].last)
			return false;
	return wcwidth((wchar_t)c) >= 0;
}

void
text_put(struct buffer *b, const char *p, size_t len)
{
	static const char hex[] = "0123456789abcdef";
	uint32_t c;
	size_t n;

	for (; len > 0; p += n, len -= n) {
		n = text_decode(p, len, &c);
		if (n > 0 && text_is_printable(c)) {
			buffer_append(b, p, n);
			continue;
		}
		if (n == 0)
			n = 1;
		for (size_t i = 0; i < n; i++) {
			unsigned char byte = p[i];

			buffer_puts(b, "\\x");
			buffer_putc(b, hex[byte >> 4]);
			buffer_putc(b, hex[byte & 15]);
		}
	}
}

static void
text_put_unit(struct buffer *b, uint32_t unit)
{
	char text[sizeof("\\uffff")];

	snprintf(text, sizeof(text), "\\u%04x", (unsigned)(unit & 0xffff));
	buffer_append(b, text, sizeof(text) - 1);
}

void
text_put_json(struct buffer *b, const char *p, size_t len)
{
	uint32_t c;
	size_t n;

	for (; len > 0; p += n, len -= n) {
		n = text_decode(p, len, &c);
		if (n == 0 || text_is_printable(c)) {
			n = n == 0 ? 1 : n;
			buffer_append(b, p, n);
		} else if (c < 0x10000) {
			text_put_unit(b, c);
		} else {
			text_put_unit(b, 0xd800 + ((c - 0x10000) >> 10));
			text_put_unit(b, 0xdc00 + (c & 0x3ff));
		}
	}
}

size_t
text_cut(const char *p, size_t len, size_t columns)
{
	size_t at = 0, n, width;
	uint32_t c;

	while (at < len) {
		n = text_decode(p + at, len - at, &c);
		width = n <= 1 ? 1 : (size_t)wcwidth((wchar_t)c);
		if (width > columns)
			break;
		columns -= width;
		at += n == 0 ? 1 : n;
	}
	return at;
}

size_t
text_columns(const char *p, size_t len)
{
	size_t columns = 0, n;
	uint32_t c;

	for (; len > 0; p += n, len -= n) {
		n = text_decode(p, len, &c);
		columns += n <= 1 ? 1 : (size_t)wcwidth((wchar_t)c);
		n = n == 0 ? 1 : n;
	}
	return columns;
}

void
text_put_time(struct buffer *b, double seconds)
{
	double whole = floor(seconds);
	int ms = (int)((seconds - whole) * 1000);
	time_t t = (time_t)whole;
	char text[64];
	struct tm tm;
	int n;

	if (!(fabs(seconds) < 1e11) || localtime_r(&t, &tm) == NULL) {
		n = snprintf(text, sizeof(text), "%.15g", seconds);
	} else {
		n = (int)strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
		n += snprintf(text + n, sizeof(text) - n, ".%03d", ms);
	}
	buffer_append(b, text, n);
}
