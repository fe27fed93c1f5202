#ifndef EVD_TESTS_MESSAGES_H
#define EVD_TESTS_MESSAGES_H

#include <jansson.h>
#include <string.h>

#include "message.h"
#include "put.h"

/* What the scanner and jansson make of one line, compared. */

/* In what two readings of one member differ; NULL: in nothing. */
static inline const char *
members_differ(const struct member *a, const struct member *b)
{
	if (!slice_equal(a->name, b->name))
		return "name";
	if (a->kind != b->kind)
		return "kind";
	if (a->raw.p != b->raw.p || a->raw.len != b->raw.len)
		return "raw";
	if (a->kind == MEMBER_STRING && !slice_equal(a->string, b->string))
		return "string";
	if (a->kind == MEMBER_INTEGER && a->integer != b->integer)
		return "integer";
	/* As bytes: 0 is not -0. */
	if ((a->kind == MEMBER_INTEGER || a->kind == MEMBER_REAL) &&
	    memcmp(&a->number, &b->number, sizeof(a->number)) != 0)
		return "number";
	return NULL;
}

static inline const char *
messages_differ(const struct message *a, const struct message *b)
{
	const char *what = a->n == b->n ? NULL : "number of members";

	for (size_t i = 0; i < a->n && what == NULL; i++)
		what = members_differ(&a->members[i], &b->members[i]);
	return what;
}

/* Whether the text of a value reads back as the value. */
static inline bool
member_reads_back(const struct member *member, const struct message *m)
{
	json_t *text = json_loadb(member->raw.p, member->raw.len,
	    JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
	bool equal = json_equal(text, member->tree) &&
	    json_object_getn(m->tree, member->name.p, member->name.len) ==
		member->tree;

	json_decref(text);
	return equal;
}

/*
 * What is wrong with the texts of the members of a line that jansson has
 * read; NULL: nothing.
 */
static inline const char *
message_check_raw(const struct message *m)
{
	const char *end = NULL;

	if (m->n != json_object_size(m->tree))
		return "number of members";
	for (size_t i = 0; i < m->n; i++) {
		const struct member *member = &m->members[i];

		if (member->raw.p < end)
			return "order";
		if (!member_reads_back(member, m))
			return "text";
		end = member->raw.p + member->raw.len;
	}
	return NULL;
}

#endif
