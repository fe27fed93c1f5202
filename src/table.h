#ifndef EVD_TABLE_H
#define EVD_TABLE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A hash table of nodes that live inside the things they find.  It grows by
 * linear hashing: each insertion splits at most one bucket, so that none ever
 * pays for all (a million names moved at once would take 50 ms).
 */
struct table_node {
	struct table_node *next;
	uint32_t hash;
};

struct table {
	struct table_node **buckets; /* the first n are in use */
	uint32_t n;
	uint32_t size;	/* of buckets, a power of two; n is over half of it */
	uint32_t count; /* nodes */
};

/* True if the node is the one that is looked for. */
typedef bool table_match(const struct table_node *, const void *key);

void table_init(struct table *);
/* The nodes are their owners' business. */
void table_fini(struct table *);

void table_insert(struct table *, struct table_node *, uint32_t hash);
/* The node must be in the table. */
void table_remove(struct table *, struct table_node *);
/* Borrowed; NULL if there is none. */
struct table_node *table_find(const struct table *, uint32_t hash,
    table_match *match, const void *key);

#endif
