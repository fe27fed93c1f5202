#include "config.h"

#include "registry.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

struct registry_key {
	uid_t uid;
	struct slice name;
};

#define ENTRY_OF_NODE(n) ((struct registry_entry *)(n))

void
registry_init(struct registry *registry)
{
	*registry = (struct registry){ 0 };
	table_init(&registry->table);
	hash_key_init(&registry->key);
}

void
registry_fini(struct registry *registry)
{
	table_fini(&registry->table);
	free(registry->slots);
}

/* --- by name -------------------------------------------------------------- */

static bool
registry_match(const struct table_node *node, const void *key)
{
	const struct registry_entry *entry = ENTRY_OF_NODE(node);
	const struct registry_key *k = key;

	return account_uid(entry->account) == k->uid &&
	    slice_is(k->name, entry->name);
}

static uint32_t
registry_hash(const struct registry *registry, const struct registry_key *key)
{
	return hash_bytes(&registry->key, key->name.p, key->name.len) ^
	    key->uid;
}

static struct registry_entry *
registry_lookup(const struct registry *registry, const struct registry_key *key)
{
	struct table_node *node = table_find(&registry->table,
	    registry_hash(registry, key), registry_match, key);

	return node == NULL ? NULL : ENTRY_OF_NODE(node);
}

struct registry_entry *
registry_find(const struct registry *registry, uid_t uid, struct slice name,
    struct error *error)
{
	struct registry_key key = { uid, name };
	struct registry_entry *entry = registry_lookup(registry, &key);
	char found[EXCERPT_SIZE];

	if (entry == NULL)
		error_set(error, ERROR_NO_SUCH_SESSION,
		    "member \"session\" is \"%s\", expected the name of a "
		    "session of uid %ju",
		    message_excerpt(found, name), (uintmax_t)uid);
	return entry;
}

static void
registry_insert(struct registry *registry, struct registry_entry *entry)
{
	struct registry_key key = { account_uid(entry->account),
		{ entry->name, strlen(entry->name) } };

	table_insert(&registry->table, &entry->node,
	    registry_hash(registry, &key));
}

int
registry_rename(struct registry *registry, struct registry_entry *entry,
    struct slice name, struct error *error)
{
	struct registry_key key = { account_uid(entry->account), name };
	char found[EXCERPT_SIZE];

	if (entry->name[0] != '#')
		return error_set(error, ERROR_SESSION_EXISTS,
		    "member \"session\" is \"%s\", but this session is named "
		    "\"%.64s\" already; expected one name a session",
		    message_excerpt(found, name), entry->name);
	if (registry_lookup(registry, &key) != NULL)
		return error_set(error, ERROR_SESSION_EXISTS,
		    "member \"session\" is \"%s\", which another session of "
		    "uid %ju has; expected a free name",
		    message_excerpt(found, name), (uintmax_t)key.uid);
	if (account_charge(entry->account, LIMIT_BYTES, name.len, error) < 0)
		return -1;
	table_remove(&registry->table, &entry->node);
	free(entry->name);
	entry->name = memory_copy(name.p, name.len);
	registry_insert(registry, entry);
	return 0;
}

/* --- names of watchers ---------------------------------------------------- */

void
registry_expect_watcher(struct registry *registry, struct slice json)
{
	registry->expected = json;
	if (json.len > 0)
		registry->expected_hash = hash_bytes(&registry->key, json.p,
		    json.len);
}

/* The line of the text is the one that is being executed: it stays as it is. */
uint32_t
registry_hash_watcher(const struct registry *registry, struct slice json)
{
	if (json.p == registry->expected.p &&
	    json.len == registry->expected.len)
		return registry->expected_hash;
	return hash_bytes(&registry->key, json.p, json.len);
}

/* --- by number ------------------------------------------------------------ */

/* The first place of a number above the one given. */
static size_t
registry_find_slot(const struct registry *registry, uint64_t number)
{
	size_t low = 0, high = registry->n_slots;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (registry->slots[middle].number <= number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Numbers only grow, so the list stays in order. */
static void
registry_add_slot(struct registry *registry, struct registry_entry *entry)
{
	if (registry->n_slots == registry->size) {
		registry->size = registry->size == 0 ? 64 : 2 * registry->size;
		registry->slots = memory_realloc(registry->slots,
		    registry->size * sizeof(*registry->slots));
	}
	registry->slots[registry->n_slots++] = (struct registry_slot){
		entry->number, entry
	};
}

/* Places are given up when most of them are empty. */
static void
registry_remove_slot(struct registry *registry, struct registry_entry *entry)
{
	size_t n = 0;

	registry->slots[registry_find_slot(registry, entry->number - 1)]
	    .entry = NULL;
	if (registry->n_slots < 2 * registry->table.count + 64)
		return;
	for (size_t i = 0; i < registry->n_slots; i++)
		if (registry->slots[i].entry != NULL)
			registry->slots[n++] = registry->slots[i];
	registry->n_slots = n;
}

struct registry_entry *
registry_next(const struct registry *registry, uint64_t *number, size_t *visits)
{
	size_t i = registry_find_slot(registry, *number);

	for (; *visits > 0 && i < registry->n_slots; i++, (*visits)--) {
		*number = registry->slots[i].number;
		if (registry->slots[i].entry != NULL)
			return registry->slots[i].entry;
	}
	return NULL;
}

/* --- both ----------------------------------------------------------------- */

void
registry_add(struct registry *registry, struct registry_entry *entry,
    struct account *account)
{
	char name[24];

	entry->account = account;
	entry->number = ++registry->last;
	snprintf(name, sizeof(name), "#%" PRIu64, entry->number);
	entry->name = memory_strdup(name);
	registry_insert(registry, entry);
	registry_add_slot(registry, entry);
}

void
registry_remove(struct registry *registry, struct registry_entry *entry)
{
	table_remove(&registry->table, &entry->node);
	registry_remove_slot(registry, entry);
}
