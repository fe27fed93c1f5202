#include "config.h"

#include "cron.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "civil.h"

enum { SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS };

static const char *const month_names[] = { "JAN", "FEB", "MAR", "APR", "MAY",
	"JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC", NULL };
static const char *const weekday_names[] = { "SUN", "MON", "TUE", "WED", "THU",
	"FRI", "SAT", NULL };

static const struct field_info {
	const char *name;
	int min, max;
	int top; /* where * and N/STEP end; Sunday is also a 7 */
	const char *const *names; /* of the numbers from min on, or NULL */
	const char *expected;
} field_infos[FIELDS] = {
	[SECOND] = { "second", 0, 59, 59, NULL, "numbers from 0 to 59" },
	[MINUTE] = { "minute", 0, 59, 59, NULL, "numbers from 0 to 59" },
	[HOUR] = { "hour", 0, 23, 23, NULL, "numbers from 0 to 23" },
	[DAY] = { "day of month", 1, 31, 31, NULL,
	    "numbers from 1 to 31, or L for the last day" },
	[MONTH] = { "month", 1, 12, 12, month_names,
	    "numbers from 1 to 12, or JAN to DEC" },
	[WEEKDAY] = { "day of week", 0, 7, 6, weekday_names,
	    "numbers from 0 to 7, or SUN to SAT" },
};

static const struct {
	const char *name;
	const char *expression;
} shortcuts[] = {
	{ "@hourly", "0 * * * *" },
	{ "@daily", "0 0 * * *" },
	{ "@midnight", "0 0 * * *" },
	{ "@weekly", "0 0 * * 0" },
	{ "@monthly", "0 0 1 * *" },
	{ "@yearly", "0 0 1 1 *" },
	{ "@annually", "0 0 1 1 *" },
};
#define SHORTCUTS (sizeof(shortcuts) / sizeof(shortcuts[0]))

struct text {
	const char *p;
	size_t len;
};

struct field {
	const struct field_info *info;
	int number;	  /* in the expression, from 1 */
	struct text text; /* all of it */
	uint64_t bits;
	bool last_day;
	char *fault;
};

/* The part of the text up to one of these, which it goes behind. */
static struct text
text_cut(struct text *text, const char *separators)
{
	struct text part = { text->p, 0 };

	while (part.len < text->len &&
	    memchr(separators, part.p[part.len], strlen(separators)) == NULL)
		part.len++;
	text->p += part.len;
	text->len -= part.len;
	return part;
}

static bool
text_skip(struct text *text, char c)
{
	if (text->len == 0 || *text->p != c)
		return false;
	text->p++;
	text->len--;
	return true;
}

static bool
text_is(struct text text, const char *s)
{
	return strlen(s) == text.len && strncasecmp(s, text.p, text.len) == 0;
}

/* Of a text that is shown: not too much, and no half of a character. */
static int
text_shown(struct text text)
{
	size_t len = text.len;

	if (len <= 48)
		return (int)len;
	for (len = 48; len > 0 && (text.p[len] & 0xc0) == 0x80;)
		len--;
	return (int)len;
}

static int
field_wrong(const struct field *field, struct text part, const char *expected)
{
	struct text text = field->text;
	bool whole = part.len == text.len;

	snprintf(field->fault, CRON_FAULT_SIZE,
	    "field %d (%s) is \"%.*s\"%s%.*s%s, expected %s", field->number,
	    field->info->name, text_shown(text), text.p,
	    whole ? "" : " with \"", whole ? 0 : text_shown(part), part.p,
	    whole ? "" : "\"", expected);
	return -1;
}

static bool
field_number(const struct field_info *info, struct text text, int *number)
{
	for (int i = 0; info->names != NULL && info->names[i] != NULL; i++)
		if (text_is(text, info->names[i])) {
			*number = info->min + i;
			return true;
		}
	*number = 0;
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] < '0' || text.p[i] > '9' || i == 4)
			return false;
		*number = *number * 10 + text.p[i] - '0';
	}
	return text.len > 0 && *number >= info->min && *number <= info->max;
}

/* *, N or N-N: from and to. */
static int
field_range(const struct field *field, struct text part, struct text range,
    bool *open, int *from, int *to)
{
	const struct field_info *info = field->info;
	struct text first = text_cut(&range, "-");

	*open = true;
	*from = info->min;
	*to = info->top;
	if (range.len == 0 && text_is(first, "*"))
		return 0;
	if (!field_number(info, first, from))
		return field_wrong(field, part, info->expected);
	if (!text_skip(&range, '-'))
		return 0;
	*open = false;
	if (!field_number(info, range, to))
		return field_wrong(field, part, info->expected);
	/* A week may end with its Sunday. */
	if (info->names == weekday_names && *to == 0 && *from > 0 &&
	    text_is(range, "SUN"))
		*to = 7;
	if (*to < *from)
		return field_wrong(field, part,
		    "a range that ends behind its begin");
	return 0;
}

/* One of the parts of a list. */
static int
field_part(struct field *field, struct text part)
{
	const struct field_info *info = field->info;
	struct text rest = part, range = text_cut(&rest, "/");
	int from, to, step = 1;
	bool open;

	if (info == &field_infos[DAY] && text_is(part, "L")) {
		field->last_day = true;
		return 0;
	}
	if (field_range(field, part, range, &open, &from, &to) < 0)
		return -1;
	if (text_skip(&rest, '/')) {
		static const struct field_info steps = { .min = 1, .max = 60 };

		if (!field_number(&steps, rest, &step) ||
		    step > info->top - info->min + 1)
			return field_wrong(field, part,
			    "a step from 1 up to what the field has");
	} else if (open && !text_is(range, "*")) {
		to = from;
	}
	field->bits |= UINT64_C(1) << from;
	for (int n = from; n <= to; n += step)
		field->bits |= UINT64_C(1) << n;
	return 0;
}

static int
field_parse(struct field *field)
{
	struct text rest = field->text;

	do {
		struct text part = text_cut(&rest, ",");

		if (part.len == 0)
			return field_wrong(field, field->text,
			    "no empty part in the list");
		if (field_part(field, part) < 0)
			return -1;
	} while (text_skip(&rest, ','));
	return 0;
}

/* Blanks before it are skipped; of length 0 at the end. */
static struct text
text_word(struct text *text)
{
	while (text_skip(text, ' ') || text_skip(text, '\t'))
		continue;
	return text_cut(text, " \t");
}

static int
cron_expand(struct text *text, char *fault)
{
	struct text rest = *text, word = text_word(&rest);
	int n;

	if (word.len == 0 || word.p[0] != '@')
		return 0;
	for (size_t i = 0; i < SHORTCUTS && text_word(&rest).len == 0; i++)
		if (strlen(shortcuts[i].name) == word.len &&
		    memcmp(shortcuts[i].name, word.p, word.len) == 0) {
			*text = (struct text){ shortcuts[i].expression,
				strlen(shortcuts[i].expression) };
			return 0;
		}
	n = snprintf(fault, CRON_FAULT_SIZE, "expected one of:");
	for (size_t i = 0; i < SHORTCUTS; i++)
		n += snprintf(fault + n, CRON_FAULT_SIZE - n, "%s %s",
		    i > 0 ? "," : "", shortcuts[i].name);
	return -1;
}

/* Five words, or six; without seconds, at the first one of the minute. */
static int
cron_split(struct text text, struct field *fields, char *fault)
{
	struct text words[FIELDS], word;
	int n = 0;

	while ((word = text_word(&text)).len > 0) {
		if (n < FIELDS)
			words[n] = word;
		n++;
	}
	if (n != FIELDS && n != FIELDS - 1) {
		snprintf(fault, CRON_FAULT_SIZE,
		    "it has %d field%s, expected 5 (minute, hour, day of "
		    "month, month, day of week), or 6 with a second before",
		    n, n == 1 ? "" : "s");
		return -1;
	}
	for (int i = 0; i < FIELDS; i++) {
		int skipped = FIELDS - n;
		bool given = i >= skipped;

		fields[i] = (struct field){
			.info = &field_infos[i],
			.number = i - skipped + 1,
			.text = given ? words[i - skipped] :
					(struct text){ "0", 1 },
			.fault = fault,
		};
	}
	return 0;
}

/* Whether there is such a day in any year, if both fields count. */
static bool
cron_comes(const struct calendar *c)
{
	if (!c->both_days || c->last_day)
		return true;
	for (int month = 1; month <= 12; month++) {
		int length = civil_month_length(2000, month);
		uint32_t days = (UINT32_C(2) << length) - 1;

		if ((c->months >> month & 1) && (c->days & days) > 0)
			return true;
	}
	return false;
}

int
cron_parse(struct calendar *c, const char *s, size_t len, char *fault)
{
	struct field fields[FIELDS];
	struct text text = { s, len };

	if (cron_expand(&text, fault) < 0 ||
	    cron_split(text, fields, fault) < 0)
		return -1;
	for (int i = 0; i < FIELDS; i++)
		if (field_parse(&fields[i]) < 0)
			return -1;
	*c = (struct calendar){
		.seconds = fields[SECOND].bits,
		.minutes = fields[MINUTE].bits,
		.hours = (uint32_t)fields[HOUR].bits,
		.days = (uint32_t)fields[DAY].bits,
		.months = (uint32_t)fields[MONTH].bits,
		.weekdays = (uint8_t)((fields[WEEKDAY].bits |
					  fields[WEEKDAY].bits >> 7) &
		    0x7f),
		.last_day = fields[DAY].last_day,
		/* A * says that the other field alone decides. */
		.both_days = fields[DAY].text.p[0] == '*' ||
		    fields[WEEKDAY].text.p[0] == '*',
	};
	if (cron_comes(c))
		return 0;
	return field_wrong(&fields[DAY], fields[DAY].text,
	    "a day that one of the months has: this one never comes");
}
