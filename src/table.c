#include "config.h"

#include "table.h"

#include <stddef.h>
#include <stdlib.h>

#include "memory.h"

#define TABLE_SIZE_MIN 8

void
table_init(struct table *t)
{
	*t = (struct table){ 0 };
}

void
table_fini(struct table *t)
{
	free(t->buckets);
	table_init(t);
}

/*
 * Buckets from n on are not there yet: what belongs into one of them is in
 * the bucket that it will be split from, half the table below.
 */
static struct table_node **
table_bucket(const struct table *t, uint32_t hash)
{
	uint32_t i = hash & (t->size - 1);

	return &t->buckets[i < t->n ? i : i - t->size / 2];
}

/* Adds the bucket n and moves into it what belongs there. */
static void
table_split(struct table *t)
{
	struct table_node **from, *node;

	if (t->n == t->size) {
		t->size *= 2;
		t->buckets = memory_realloc(t->buckets,
		    t->size * sizeof(*t->buckets));
	}
	t->buckets[t->n] = NULL;
	from = &t->buckets[t->n - t->size / 2];
	t->n++;
	while ((node = *from) != NULL) {
		if ((node->hash & (t->size - 1)) != t->n - 1) {
			from = &node->next;
			continue;
		}
		*from = node->next;
		node->next = t->buckets[t->n - 1];
		t->buckets[t->n - 1] = node;
	}
}

void
table_insert(struct table *t, struct table_node *node, uint32_t hash)
{
	struct table_node **bucket;

	if (t->buckets == NULL) {
		t->buckets = memory_zalloc(TABLE_SIZE_MIN *
		    sizeof(*t->buckets));
		t->n = t->size = TABLE_SIZE_MIN;
	} else if (t->count >= t->n && t->n < UINT32_MAX / 2) {
		table_split(t);
	}
	node->hash = hash;
	bucket = table_bucket(t, hash);
	node->next = *bucket;
	*bucket = node;
	t->count++;
}

void
table_remove(struct table *t, struct table_node *node)
{
	struct table_node **at = table_bucket(t, node->hash);

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	t->count--;
}

struct table_node *
table_find(const struct table *t, uint32_t hash, table_match *match,
    const void *key)
{
	struct table_node *node;

	if (t->buckets == NULL)
		return NULL;
	for (node = *table_bucket(t, hash); node != NULL; node = node->next)
		if (node->hash == hash && match(node, key))
			return node;
	return NULL;
}
