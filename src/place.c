#include "config.h"

#include "place.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "filestate.h"
#include "log.h"
#include "memory.h"

#define PLACE_OF_NODE(n) ((struct place *)(n))
#define PLACE_OF_USER(u) \
	((struct place *)((char *)(u)-offsetof(struct place, user)))
#define PLACES_OF(p, member) \
	((struct places *)((char *)(p)-offsetof(struct places, member)))

/* --- the tree -------------------------------------------------------------- */

struct place_key {
	const struct place *parent;
	const char *name;
	size_t len;
};

static bool
place_match(const struct table_node *node, const void *key)
{
	const struct place *p = PLACE_OF_NODE(node);
	const struct place_key *k = key;

	return p->parent == k->parent && p->name_len == k->len &&
	    memcmp(p->name, k->name, k->len) == 0;
}

static uint32_t
place_hash(const struct places *places, const struct place_key *key)
{
	uint32_t parent = (uint32_t)((uintptr_t)key->parent >> 4);

	return hash_bytes(&places->marks.key, key->name, key->len) ^
	    parent * UINT32_C(0x9e3779b1);
}

static struct place *
place_find(const struct place *parent, const char *name, size_t len)
{
	struct place_key key = { parent, name, len };
	struct table_node *node = table_find(&parent->places->table,
	    place_hash(parent->places, &key), place_match, &key);

	return node == NULL ? NULL : PLACE_OF_NODE(node);
}

static struct place *
place_new(struct places *places, struct place *parent, const char *name,
    size_t len)
{
	struct place *p = memory_zalloc(sizeof(*p) + len);

	p->places = places;
	p->parent = parent;
	p->refs = 1;
	TAILQ_INIT(&p->children);
	TAILQ_INIT(&p->anchors);
	p->name_len = (uint8_t)len;
	memcpy(p->name, name, len);
	return p;
}

struct place *
place_ref(struct place *p)
{
	p->refs++;
	return p;
}

void
place_unref(struct place *p)
{
	while (p != NULL && --p->refs == 0) {
		struct places *places = p->places;
		struct place *parent = p->parent;

		jobs_remove(places->jobs, &p->job);
		marks_unuse(&places->marks, &p->user);
		if (parent != NULL) {
			table_remove(&places->table, &p->node);
			TAILQ_REMOVE(&parent->children, p, sibling);
		} else {
			places->root = NULL;
			mounts_close(&places->mounts);
		}
		free(p);
		p = parent;
	}
}

struct place *
place_root(struct places *places)
{
	if (places->root != NULL)
		return place_ref(places->root);
	places->root = place_new(places, NULL, "", 0);
	mounts_open(&places->mounts);
	return places->root;
}

struct place *
place_child(struct place *parent, const char *name, size_t len)
{
	struct place_key key = { parent, name, len };
	struct place *p = place_find(parent, name, len);

	if (p != NULL)
		return place_ref(p);
	p = place_new(parent->places, place_ref(parent), name, len);
	p->seen = parent->sweep;
	table_insert(&parent->places->table, &p->node,
	    place_hash(parent->places, &key));
	TAILQ_INSERT_TAIL(&parent->children, p, sibling);
	return p;
}

const char *
place_path(const struct place *p, char bytes[PATH_MAX])
{
	char *start = bytes + PATH_MAX - 1;

	*start = '\0';
	if (p->parent == NULL)
		*--start = '/';
	for (; p->parent != NULL; p = p->parent) {
		if (start - bytes < p->name_len + 1)
			return NULL;
		start -= p->name_len;
		memcpy(start, p->name, p->name_len);
		*--start = '/';
	}
	return start;
}

/* --- what is there ---------------------------------------------------------- */

/* Lets a sweep begin, or begin again. */
static void
place_queue(struct place *p)
{
	p->sweep++;
	jobs_add(p->places->jobs, &p->job);
}

/* What is there now, and marked from now on. */
static enum place_kind
place_take(struct place *p)
{
	struct marks *marks = &p->places->marks;
	char bytes[PATH_MAX];
	const char *path = place_path(p, bytes);
	struct stat st;

	p->err = 0;
	if (path == NULL || lstat(path, &st) < 0) {
		p->err = path == NULL	       ? ENAMETOOLONG :
		    filestate_is_absent(errno) ? 0 :
						 errno;
		marks_unuse(marks, &p->user);
		return PLACE_MISSING;
	}
	p->err = -marks_use(marks, &p->user, path, S_ISDIR(st.st_mode));
	if (p->err == ENOENT || p->err == ENOTDIR) {
		/* Gone meanwhile: there is an event for that. */
		p->err = 0;
		return PLACE_MISSING;
	}
	return S_ISDIR(st.st_mode) ? PLACE_DIRECTORY :
	    S_ISLNK(st.st_mode)	   ? PLACE_LINK :
				     PLACE_FILE;
}

void
place_look(struct place *p)
{
	const struct place *parent = p->parent;
	struct mark *before = p->user.mark;
	enum place_kind kind_before = p->kind;

	/* A mark that is still there is not freed, nor its address reused. */
	p->look = false;
	p->kind = place_take(p);
	p->fresh = p->err == 0 &&
	    (parent == NULL ||
		(parent->user.mark != NULL && !parent->user.mark->deaf));
	if (kind_before == PLACE_UNKNOWN ||
	    (p->kind == kind_before && p->user.mark == before))
		return;
	p->force = true;
	place_queue(p);
}

/* --- its job ---------------------------------------------------------------- */

static void
place_visit_child(struct place *p, struct place *child)
{
	TAILQ_REMOVE(&p->children, child, sibling);
	TAILQ_INSERT_TAIL(&p->children, child, sibling);
	child->seen = p->sweep;
	child->look = true;
	child->force |= p->force;
	child->sweep++;
	jobs_add_first(p->places->jobs, &child->job);
}

bool
place_step(struct place *p)
{
	struct place *child = TAILQ_FIRST(&p->children);

	if (p->look)
		place_look(p);
	else if (p->force && child != NULL && child->seen != p->sweep)
		place_visit_child(p, child);
	else
		return false;
	return true;
}

void
place_settle(struct place *p)
{
	p->force = p->touched = false;
	jobs_remove(p->places->jobs, &p->job);
}

/* --- events ----------------------------------------------------------------- */

static void
places_look_at_all(struct places *places)
{
	struct place *root = places->root;

	if (root == NULL)
		return;
	root->look = root->force = true;
	place_queue(root);
}

/*
 * An entry of the directory that is at the place was changed.  Even if that
 * is now what it was, it may have been something else for a while, and what
 * is below may have been looked at in that while.
 */
static void
place_on_entry(struct place *p, uint32_t mask, const char *name)
{
	struct place *child = place_find(p, name, strlen(name));

	if (child == NULL)
		return;
	child->look = true;
	child->force |= !(mask & IN_ATTRIB);
	place_queue(child);
}

/*
 * The file or directory itself was changed; if that was a directory's mode,
 * what is below may be within reach no more, or again.
 */
static void
place_on_self(struct place *p, uint32_t mask)
{
	bool mode = (mask & IN_ATTRIB) && p->kind == PLACE_DIRECTORY;

	p->look |= mode || (mask & IN_IGNORED);
	p->force |= mode;
	p->touched |= !TAILQ_EMPTY(&p->anchors);
	if (p->look || p->touched)
		place_queue(p);
}

static void
places_on_event(struct marks *marks, struct mark *mark, uint32_t mask,
    const char *name)
{
	struct mark_user *user;

	(void)marks;
	LIST_FOREACH(user, &mark->users, entry) {
		struct place *p = PLACE_OF_USER(user);

		if (name != NULL)
			place_on_entry(p, mask, name);
		/* Of an entry: only if there is one more now, or less. */
		if (name == NULL || !(mask & IN_ATTRIB))
			place_on_self(p, name == NULL ? mask : 0);
	}
}

static void
places_on_overflow(struct marks *marks)
{
	log_notice("stat: events of inotify were lost; all is compared");
	places_look_at_all(PLACES_OF(marks, marks));
}

static void
places_on_mounts(struct mounts *mounts)
{
	places_look_at_all(PLACES_OF(mounts, mounts));
}

void
places_gather(struct places *places)
{
	marks_gather(&places->marks);
	mounts_gather(&places->mounts);
}

/* --- life ------------------------------------------------------------------- */

void
places_init(struct places *places, struct jobs *jobs, struct ev_loop *loop)
{
	*places = (struct places){ .jobs = jobs };
	table_init(&places->table);
	marks_init(&places->marks, loop);
	places->marks.on_event = places_on_event;
	places->marks.on_overflow = places_on_overflow;
	mounts_init(&places->mounts, loop);
	places->mounts.on_change = places_on_mounts;
}

void
places_fini(struct places *places)
{
	marks_fini(&places->marks);
	table_fini(&places->table);
}
