#include "config.h"

#include "param.h"

#include <stdio.h>
#include <string.h>

#include "base64.h"
#include "put.h"
#include "signame.h"

/* --- what was expected -------------------------------------------------- */

static const char *
param_expected(const struct param *param, char *out, size_t size)
{
	switch (param->kind) {
	case PARAM_BOOL:
		return "true or false";
	case PARAM_STRING:
		return "a string";
	case PARAM_STRINGS:
		return "an array of strings";
	case PARAM_STRING_MAP:
		return "an object whose members are strings";
	case PARAM_SIGNAL:
		return "a signal: its number, or its name as \"USR1\" or "
		       "\"RTMIN+1\"";
	case PARAM_NAME:
		return "a name: a string of 1 to 255 bytes without control "
		       "characters that does not begin with #, or an integer "
		       "from 0 to 9007199254740991";
	case PARAM_SESSION:
		return "a string of 1 to 255 bytes without control characters "
		       "that does not begin with #";
	case PARAM_JSON:
		snprintf(out, size, "JSON of at most %d bytes", JSON_SIZE_MAX);
		return out;
	case PARAM_PATH:
		return "an absolute path of at most 4095 bytes";
	case PARAM_BASE64:
		return "a string in base64, with its padding";
	case PARAM_EVENTS:
		return "\"r\", \"w\", \"rw\" or the bits 0 to 3";
	case PARAM_INTEGER:
		snprintf(out, size, "an integer from %.0f to %.0f", param->min,
		    param->max);
		return out;
	case PARAM_SECONDS:
		snprintf(out, size, "a number of seconds from %g to %g",
		    param->min, param->max);
		return out;
	case PARAM_PERIOD:
		snprintf(out, size, "0 or a number of seconds from %g to %g",
		    param->min, param->max);
		return out;
	}
	return NULL;
}

static int
param_wrong(const struct param *param, const struct member *member,
    struct error *error)
{
	char found[EXCERPT_SIZE], expected[96], size[40] = "";

	if (member->raw.len > EXCERPT_MAX)
		snprintf(size, sizeof(size), " (%zu bytes)", member->raw.len);
	return error_set(error, ERROR_INVALID_ARGUMENT,
	    "member \"%s\" is %s%s, expected %s", param->name.p,
	    message_excerpt(found, member->raw), size,
	    param_expected(param, expected, sizeof(expected)));
}

static int
param_missing(const struct param *param, struct error *error)
{
	char expected[96];

	return error_set(error, ERROR_INVALID_ARGUMENT,
	    "member \"%s\" is missing, expected %s", param->name.p,
	    param_expected(param, expected, sizeof(expected)));
}

void
param_list_name(char *list, size_t size, const char *name)
{
	size_t len = strlen(list);

	snprintf(list + len, size - len, "%s%s", len == 0 ? "" : ", ", name);
}

static int
param_unknown(const struct member *member, const struct param_set *sets,
    size_t n_sets, struct error *error)
{
	char found[EXCERPT_SIZE], known[320] = "";

	for (size_t s = 0; s < n_sets; s++)
		for (size_t i = 0; i < sets[s].n; i++)
			param_list_name(known, sizeof(known),
			    sets[s].params[i].name.p);
	return error_set(error, ERROR_INVALID_ARGUMENT,
	    "member \"%s\" is unknown, expected of: %s",
	    message_excerpt(found, member->name), known);
}

/* --- names -------------------------------------------------------------- */

/* C0, DEL and C1 (U+0080 to U+009F, which begin with 0xc2 in UTF-8). */
static bool
name_has_control(struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = s.p[i];

		if (c < 0x20 || c == 0x7f)
			return true;
		if (c == 0xc2 && (unsigned char)s.p[i + 1] < 0xa0)
			return true;
	}
	return false;
}

static bool
name_is_good(const struct member *member)
{
	struct slice s = member->string;

	return s.len >= 1 && s.len <= NAME_SIZE_MAX && s.p[0] != '#' &&
	    (member->plain || !name_has_control(s));
}

/* Escapes are longer than what they stand for: equal lengths, none there. */
static void
name_from_string(struct message *m, struct name *name,
    const struct member *member)
{
	struct buffer b = { .size = 2 * NAME_SIZE_MAX + 2 };

	if (member->raw.len == member->string.len + 2) {
		name->json = member->raw;
		return;
	}
	b.data = message_room(m, b.size);
	for (size_t i = 0; i < member->string.len; i++) {
		char c = member->string.p[i];

		if (i == 0)
			buffer_putc(&b, '"');
		if (c == '"' || c == '\\')
			buffer_putc(&b, '\\');
		buffer_putc(&b, c);
	}
	buffer_putc(&b, '"');
	name->json = (struct slice){ b.data, b.end };
}

static bool
name_parse(struct message *m, const struct member *member, struct name *name)
{
	if (member->kind == MEMBER_STRING && name_is_good(member)) {
		name_from_string(m, name, member);
		return true;
	}
	if (member->kind == MEMBER_INTEGER && member->integer >= 0 &&
	    member->integer <= INTEGER_MAX) {
		name->json = member->raw;
		if (member->raw.p[0] == '-') /* -0 */
			name->json = (struct slice){ "0", 1 };
		return true;
	}
	return false;
}

/* --- values ------------------------------------------------------------- */

static bool
member_is_number(const struct member *member)
{
	return member->kind == MEMBER_INTEGER || member->kind == MEMBER_REAL;
}

static bool
param_in_range(const struct param *param, double number)
{
	if (param->kind == PARAM_PERIOD && number == 0)
		return true;
	return number >= param->min && number <= param->max;
}

static bool
param_strings(const struct member *member)
{
	struct slice item;

	if (member->kind != MEMBER_ARRAY)
		return false;
	for (size_t i = 0; i < message_items(member); i++)
		if (!message_item(member, i, &item))
			return false;
	return true;
}

static bool
param_is_string(void *arg, const char *name, struct slice value)
{
	(void)arg;
	(void)name;
	return value.p != NULL;
}

static bool
param_signal(const struct member *member, int *signum)
{
	if (member->kind == MEMBER_STRING)
		*signum = signame_parse(member->string.p, member->string.len);
	else if (member->kind == MEMBER_INTEGER &&
	    signame_is_signal(member->integer))
		*signum = (int)member->integer;
	else
		*signum = 0;
	return *signum > 0;
}

static bool
param_events(const struct member *member, int *events)
{
	static const char *const names[] = { "", "r", "w", "rw" };

	if (member->kind == MEMBER_INTEGER) {
		*events = (int)member->integer;
		return member->integer >= 0 && member->integer <= 3;
	}
	for (*events = 1; *events <= 3; (*events)++)
		if (member->kind == MEMBER_STRING &&
		    slice_is(member->string, names[*events]))
			return true;
	return false;
}

/* Stores the value; false if it is not what the table wants. */
static bool
param_store(struct message *m, const struct param *param,
    const struct member *member, void *at)
{
	switch (param->kind) {
	case PARAM_BOOL:
		*(bool *)at = member->kind == MEMBER_TRUE;
		return member->kind == MEMBER_TRUE ||
		    member->kind == MEMBER_FALSE;
	case PARAM_INTEGER:
		*(int64_t *)at = member->integer;
		return member->kind == MEMBER_INTEGER &&
		    param_in_range(param, member->integer);
	case PARAM_SECONDS:
	case PARAM_PERIOD:
		*(double *)at = member->number;
		return member_is_number(member) &&
		    param_in_range(param, member->number);
	case PARAM_STRING:
		*(struct slice *)at = member->string;
		return member->kind == MEMBER_STRING;
	case PARAM_STRINGS:
		*(const struct member **)at = member;
		return param_strings(member);
	case PARAM_NAME:
		return name_parse(m, member, at);
	case PARAM_SESSION:
		*(struct slice *)at = member->string;
		return member->kind == MEMBER_STRING && name_is_good(member);
	case PARAM_JSON:
		*(struct slice *)at = member->raw;
		return member->raw.len <= JSON_SIZE_MAX;
	case PARAM_PATH:
		*(struct slice *)at = member->string;
		return member->kind == MEMBER_STRING &&
		    member->string.len > 0 && member->string.p[0] == '/' &&
		    member->string.len < PATH_SIZE_MAX;
	case PARAM_BASE64:
		*(struct slice *)at = member->string;
		return member->kind == MEMBER_STRING &&
		    base64_decode(member->string.p, member->string.len, NULL) >=
		    0;
	case PARAM_EVENTS:
		return param_events(member, at);
	case PARAM_SIGNAL:
		return param_signal(member, at);
	case PARAM_STRING_MAP:
		*(const struct member **)at = member;
		return member->kind == MEMBER_OBJECT &&
		    message_each(member, param_is_string, NULL);
	}
	return false;
}

/* --- which member is which ---------------------------------------------- */

static bool
plan_holds(const struct param_plan *plan, const struct message *m,
    const struct param_set *sets, size_t n_sets)
{
	if (plan->shape != m->shape)
		return false;
	for (size_t s = 0; s < PARAM_SETS_MAX; s++)
		if (plan->tables[s] != (s < n_sets ? sets[s].params : NULL))
			return false;
	return true;
}

/* Takes the next member; false if no table has its name. */
static bool
plan_add(struct param_plan *plan, struct slice name,
    const struct param_set *sets, size_t n_sets)
{
	for (size_t s = 0; s < n_sets; s++) {
		const struct param *params = sets[s].params;

		for (size_t i = 0; i < sets[s].n; i++) {
			if (!slice_equal(params[i].name, name))
				continue;
			plan->members[plan->n].set = s;
			plan->members[plan->n++].i = i;
			plan->given[s] |= PARAM_BIT(i);
			if (params[i].right != RIGHT_ALL)
				plan->guarded[s] |= PARAM_BIT(i);
			return true;
		}
	}
	return false;
}

static const struct param *
plan_find_missing(const struct param_plan *plan, const struct param_set *sets,
    size_t n_sets)
{
	for (size_t s = 0; s < n_sets; s++)
		for (size_t i = 0; i < sets[s].n; i++)
			if (sets[s].params[i].required &&
			    !(plan->given[s] & PARAM_BIT(i)))
				return &sets[s].params[i];
	return NULL;
}

/* No name stands twice in a line, so that there is room for all. */
static void
plan_make(struct param_plan *plan, const struct message *m,
    const struct param_set *sets, size_t n_sets)
{
	*plan = (struct param_plan){ .shape = m->shape };
	for (size_t s = 0; s < n_sets; s++)
		plan->tables[s] = sets[s].params;
	while (plan->n < m->n && plan->n < PARAM_MEMBERS_MAX &&
	    plan_add(plan, m->members[plan->n].name, sets, n_sets))
		;
	plan->missing = plan_find_missing(plan, sets, n_sets);
}

int
param_parse(struct message *m, const struct param_set *sets, size_t n_sets,
    struct param_plan *plan, struct error *error)
{
	if (!plan_holds(plan, m, sets, n_sets))
		plan_make(plan, m, sets, n_sets);
	for (size_t i = 0; i < plan->n; i++) {
		const struct param_set *set = &sets[plan->members[i].set];
		const struct param *param = &set->params[plan->members[i].i];

		if (!param_store(m, param, &m->members[i],
			(char *)set->values + param->offset))
			return param_wrong(param, &m->members[i], error);
	}
	if (plan->n < m->n)
		return param_unknown(&m->members[plan->n], sets, n_sets, error);
	if (plan->missing != NULL)
		return param_missing(plan->missing, error);
	for (size_t s = 0; s < n_sets; s++)
		*(uint32_t *)sets[s].values = plan->given[s];
	return 0;
}

int
param_parse_name(struct message *m, const struct member *member,
    struct name *name, struct error *error)
{
	static const struct param param = { .name = { "watcher", 7 },
		.kind = PARAM_NAME };

	return name_parse(m, member, name) ? 0 :
					     param_wrong(&param, member, error);
}
