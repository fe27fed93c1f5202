#include "config.h"

#include "way.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "filestate.h"

/* The next component of the rest; of length 0 at the end. */
static const char *
way_next(const char *rest, size_t *len)
{
	for (;;) {
		rest += strspn(rest, "/");
		*len = strcspn(rest, "/");
		if (*len != 1 || rest[0] != '.')
			return rest;
		rest++;
	}
}

static bool
way_ends_as_directory(const char *path)
{
	size_t len = strlen(path);

	return path[len - 1] == '/' ||
	    (len >= 2 && memcmp(path + len - 2, "/.", 2) == 0);
}

static void
way_anchor(struct way *way, struct place *p)
{
	for (unsigned i = 0; i < way->n; i++)
		if (way->anchors[i] == p) /* a loop */
			return;
	way->anchors[way->n++] = place_ref(p);
}

static void
way_move(struct way *way, struct place *to)
{
	place_unref(way->at);
	way->at = to;
}

/* Goes on from the target of the link at which it is; false: it can't. */
static bool
way_follow(struct way *way, const char *rest)
{
	struct place *link = way->at;
	char bytes[PATH_MAX], target[2 * PATH_MAX];
	const char *path = place_path(link, bytes);
	size_t rest_len = strlen(rest);
	ssize_t n;

	if (path == NULL || way->links++ == WAY_LINKS_MAX)
		return false;
	n = readlink(path, target, PATH_MAX);
	if (n <= 0) { /* by now something else: there is an event for that */
		if (n < 0 && errno != EINVAL && !filestate_is_absent(errno))
			way->reason = errno;
		return false;
	}
	if ((size_t)n + 1 + rest_len >= sizeof(target)) {
		way->reason = ENAMETOOLONG;
		return false;
	}
	target[n] = '/';
	memcpy(target + n + 1, rest, rest_len + 1);
	memcpy(way->rest, target, (size_t)n + 1 + rest_len + 1);
	way_anchor(way, link);
	way_move(way,
	    target[0] == '/' ? place_root(link->places) :
			       place_ref(link->parent));
	return true;
}

/* Looks at the place where it is, unless that is known. */
static void
way_look(struct way *way)
{
	struct place *p = way->at;

	if (!p->fresh)
		place_look(p);
	if (way->reason == 0)
		way->reason = p->err != 0 ? p->err :
		    place_is_deaf(p)	  ? WAY_DEAF :
					    0;
}

static void
way_walk(struct way *way)
{
	const char *name, *rest = way->rest;
	size_t len, more;

	way_look(way);
	while (name = way_next(rest, &len), len > 0) {
		if (len > NAME_MAX) /* never there */
			return;
		way_move(way, place_child(way->at, name, len));
		way_look(way);
		rest = way_next(name + len, &more);
		if (way->at->kind == PLACE_LINK && (more > 0 || way->follow)) {
			if (!way_follow(way, rest))
				return;
			rest = way->rest;
			way_look(way);
		} else if (more > 0 && way->at->kind != PLACE_DIRECTORY) {
			return;
		}
	}
	way->complete = way->at->kind != PLACE_MISSING;
}

void
way_go(struct way *way, struct places *places, const char *path, bool follow)
{
	way->n = way->links = 0;
	way->reason = 0;
	way->complete = false;
	way->follow = follow || way_ends_as_directory(path);
	strcpy(way->rest, path);
	way->at = place_root(places);
	way_walk(way);
	way_anchor(way, way->at);
	way->complete &= way->anchors[way->n - 1] == way->at;
	place_unref(way->at);
}

void
way_drop(struct way *way)
{
	for (unsigned i = 0; i < way->n; i++)
		place_unref(way->anchors[i]);
}
