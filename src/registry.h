#ifndef EVD_REGISTRY_H
#define EVD_REGISTRY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "account.h"
#include "hash.h"
#include "message.h"
#include "table.h"

/*
 * All sessions, by uid and name, and by number.
 *
 * Each has a number, which no other one ever gets, and a name, which no other
 * one of its uid has: "#" and the number, until its client has chosen another.
 */

/* Inside of a session. */
struct registry_entry {
	struct table_node node;	 /* first */
	uint64_t number;	 /* from 1 */
	char *name;		 /* without quotes; the session frees it */
	struct account *account; /* borrowed; its uid, and it pays for names */
};

struct registry_slot {
	uint64_t number;
	struct registry_entry *entry; /* NULL: it was removed */
};

struct registry {
	struct table table;
	struct hash_key key;
	struct slice expected; /* where it stands, and its hash */
	uint32_t expected_hash;
	uint64_t last;		     /* number given */
	struct registry_slot *slots; /* by number; also of some removed ones */
	size_t n_slots, size;
};

void registry_init(struct registry *);
/* All entries are removed. */
void registry_fini(struct registry *);

/* Gives it its number, and the name that goes with it. */
void registry_add(struct registry *, struct registry_entry *, struct account *);
/* The name is free again; it can still be read. */
void registry_remove(struct registry *, struct registry_entry *);

/*
 * Lets it have a name that its client has chosen, once.  Returns 0, or -1 with
 * the error and nothing changed.
 */
int registry_rename(struct registry *, struct registry_entry *, struct slice,
    struct error *);

/*
 * The hash of a watcher's name, for tables of sessions.  That of a text that is
 * expected, until another or none is, has been made already.
 */
void registry_expect_watcher(struct registry *, struct slice json);
uint32_t registry_hash_watcher(const struct registry *, struct slice json);

/* Borrowed; NULL with the error if the uid has none of that name. */
struct registry_entry *registry_find(const struct registry *, uid_t,
    struct slice, struct error *);
/*
 * Borrowed; the one that was added next after number *number, which becomes
 * its own.  NULL behind the last, and when *visits, from which it takes the
 * number of places that it looks at, is used up; *number is then that of the
 * last place.
 */
struct registry_entry *registry_next(const struct registry *, uint64_t *number,
    size_t *visits);

#endif
