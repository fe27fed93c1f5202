#ifndef EVD_TABLE_H
#define EVD_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A hash table of nodes that live inside the things they find.
 *
 * Open addressing with linear probing; a hash stands beside its node, and as
 * many such pairs as fit into a cache line are kept in one, so that a search
 * touches one line and no node but the one that it finds: registering a
 * million watchers is waiting for memory more than anything else.  When it
 * grows the old slots are moved a few with each insertion, so that none ever
 * pays for all: a million names moved at once would take 50 ms.
 */
struct table_node {
	uint32_t hash;
};

#define TABLE_LINE	 64 /* bytes of a cache line */
#define TABLE_LINE_SLOTS 5

struct table_line {
	uint32_t hashes[TABLE_LINE_SLOTS]; /* 0: empty */
	struct table_node *nodes[TABLE_LINE_SLOTS];
};

struct table_slots {
	struct table_line *lines; /* from a cache line's begin, in block */
	void *block;
	size_t size; /* in slots */
};

struct table {
	struct table_slots now;
	struct table_slots old; /* what is still to be moved out of it */
	size_t moved;		/* so many of its slots were */
	size_t count;		/* nodes */
};

/* True if the node is the one that is looked for. */
typedef bool table_match(const struct table_node *, const void *key);

void table_init(struct table *);
/* The nodes are their owners' business. */
void table_fini(struct table *);

/* That hash will be looked for soon: memory may fetch where it would be. */
void table_prefetch(const struct table *, uint32_t hash);
void table_insert(struct table *, struct table_node *, uint32_t hash);
/* The node must be in the table. */
void table_remove(struct table *, struct table_node *);
/* Borrowed; NULL if there is none. */
struct table_node *table_find(const struct table *, uint32_t hash,
    table_match *match, const void *key);

#endif
