#include "config.h"

#include "dirwatch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "busy.h"
#include "log.h"
#include "memory.h"

#define LINKS_MAX	40 /* followed on one way, as the kernel does */
#define EXPLAIN_EVERY_S 60
#define REASON_DEAF	(-1) /* beside errno's: the file system is deaf */

/*
 * A path from the root without links, "." and empty components; that of its
 * parent and a name.  It lives while it has references, from its children and
 * from anchors.
 *
 * A sweep of a place visits its children and what is anchored there; what it
 * has visited has `seen` as the place has `sweep`, and stands at the end of
 * its list.  A new sweep may begin while one is on: all is unseen then, and
 * what was not reached stands in front.
 */
enum place_kind {
	PLACE_UNKNOWN,
	PLACE_MISSING,
	PLACE_DIRECTORY,
	PLACE_LINK,
	PLACE_FILE,
};

TAILQ_HEAD(place_list, dirwatch_place);
TAILQ_HEAD(anchor_list, dirwatch_anchor);

struct dirwatch_place {
	struct table_node node;
	struct dirwatch_job job;
	struct mark_user user; /* the mark of what is there */
	struct dirwatch *dirwatch;
	struct dirwatch_place *parent; /* NULL: the root */
	struct place_list children;
	TAILQ_ENTRY(dirwatch_place) sibling;
	struct anchor_list anchors;
	uint32_t refs;
	uint32_t sweep;
	uint32_t seen;
	int err; /* why what is there has no mark */
	uint8_t kind;
	bool fresh : 1; /* what changes here makes an event */
	/* What the job is to do. */
	bool look : 1;	  /* see what is there now */
	bool force : 1;	  /* all ways through here may lead elsewhere */
	bool touched : 1; /* there was an event about the file itself */
	uint8_t name_len;
	char name[];
};

/* Of an item that is polled. */
struct dirwatch_poll {
	struct dirwatch_job job;
	struct ev_timer timer;
	struct dirwatch_item *item;
};

#define PLACE_OF_NODE(n) ((struct dirwatch_place *)(n))
#define PLACE_OF(p, member)                                                    \
	((struct dirwatch_place *)((char *)(p)-offsetof(struct dirwatch_place, \
	    member)))

/* --- the queue of jobs ----------------------------------------------------- */

static void
job_queue(struct dirwatch *dirwatch, struct dirwatch_job *job)
{
	if (job->queued)
		return;
	job->queued = true;
	job->ticket = ++dirwatch->tickets;
	TAILQ_INSERT_TAIL(&dirwatch->jobs, job, entry);
	ev_idle_start(dirwatch->loop, &dirwatch->busy);
}

static void
job_remove(struct dirwatch *dirwatch, struct dirwatch_job *job)
{
	if (!job->queued)
		return;
	job->queued = false;
	TAILQ_REMOVE(&dirwatch->jobs, job, entry);
}

/* As a part of the first job, which goes on when this one is done. */
static void
job_queue_first(struct dirwatch *dirwatch, struct dirwatch_job *job)
{
	uint64_t ticket = TAILQ_FIRST(&dirwatch->jobs)->ticket;

	job_remove(dirwatch, job);
	job->queued = true;
	job->ticket = ticket;
	TAILQ_INSERT_HEAD(&dirwatch->jobs, job, entry);
}

/* --- places ---------------------------------------------------------------- */

struct place_key {
	const struct dirwatch_place *parent;
	const char *name;
	size_t len;
};

static bool
place_match(const struct table_node *node, const void *key)
{
	const struct dirwatch_place *p = PLACE_OF_NODE(node);
	const struct place_key *k = key;

	return p->parent == k->parent && p->name_len == k->len &&
	    memcmp(p->name, k->name, k->len) == 0;
}

static uint32_t
place_hash(const struct dirwatch *dirwatch, const struct place_key *key)
{
	uint32_t parent = (uint32_t)((uintptr_t)key->parent >> 4);

	return hash_bytes(&dirwatch->marks.key, key->name, key->len) ^
	    parent * UINT32_C(0x9e3779b1);
}

static struct dirwatch_place *
place_find(const struct dirwatch_place *parent, const char *name, size_t len)
{
	struct place_key key = { parent, name, len };
	struct table_node *node = table_find(&parent->dirwatch->places,
	    place_hash(parent->dirwatch, &key), place_match, &key);

	return node == NULL ? NULL : PLACE_OF_NODE(node);
}

static struct dirwatch_place *
place_new(struct dirwatch *dirwatch, struct dirwatch_place *parent,
    const char *name, size_t len)
{
	struct dirwatch_place *p = memory_zalloc(sizeof(*p) + len);

	p->dirwatch = dirwatch;
	p->parent = parent;
	p->refs = 1;
	TAILQ_INIT(&p->children);
	TAILQ_INIT(&p->anchors);
	p->name_len = (uint8_t)len;
	memcpy(p->name, name, len);
	return p;
}

static struct dirwatch_place *
place_ref(struct dirwatch_place *p)
{
	p->refs++;
	return p;
}

static void dirwatch_open_mounts(struct dirwatch *);
static void dirwatch_close_mounts(struct dirwatch *);

static void
place_unref(struct dirwatch_place *p)
{
	while (p != NULL && --p->refs == 0) {
		struct dirwatch *dirwatch = p->dirwatch;
		struct dirwatch_place *parent = p->parent;

		job_remove(dirwatch, &p->job);
		marks_unuse(&dirwatch->marks, &p->user);
		if (parent != NULL) {
			table_remove(&dirwatch->places, &p->node);
			TAILQ_REMOVE(&parent->children, p, sibling);
		} else {
			dirwatch->root = NULL;
			dirwatch_close_mounts(dirwatch);
		}
		free(p);
		p = parent;
	}
}

/* Referenced for the caller. */
static struct dirwatch_place *
place_root(struct dirwatch *dirwatch)
{
	if (dirwatch->root != NULL)
		return place_ref(dirwatch->root);
	dirwatch->root = place_new(dirwatch, NULL, "", 0);
	dirwatch_open_mounts(dirwatch);
	return dirwatch->root;
}

/* The same.  len is at most NAME_MAX. */
static struct dirwatch_place *
place_child(struct dirwatch_place *parent, const char *name, size_t len)
{
	struct place_key key = { parent, name, len };
	struct dirwatch_place *p = place_find(parent, name, len);

	if (p != NULL)
		return place_ref(p);
	p = place_new(parent->dirwatch, place_ref(parent), name, len);
	p->seen = parent->sweep;
	table_insert(&parent->dirwatch->places, &p->node,
	    place_hash(parent->dirwatch, &key));
	TAILQ_INSERT_TAIL(&parent->children, p, sibling);
	return p;
}

/* Returns the path, inside of bytes, or NULL if it is too long. */
static const char *
place_path(const struct dirwatch_place *p, char bytes[PATH_MAX])
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

/* Lets a sweep begin, or begin again. */
static void
place_queue(struct dirwatch_place *p)
{
	p->sweep++;
	job_queue(p->dirwatch, &p->job);
}

static bool
place_is_deaf(const struct dirwatch_place *p)
{
	return p->user.mark != NULL && p->user.mark->deaf;
}

/* What is there now, and marked from now on. */
static enum place_kind
place_take(struct dirwatch_place *p)
{
	struct marks *marks = &p->dirwatch->marks;
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

/*
 * Sees what is there, and if that is something else than before, lets a sweep
 * of all below begin.  The parent is fresh, or never will be.
 */
static void
place_look(struct dirwatch_place *p)
{
	const struct dirwatch_place *parent = p->parent;
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

/* --- the way of an item ------------------------------------------------------ */

struct way {
	struct dirwatch_place *at; /* referenced */
	char rest[2 * PATH_MAX];   /* still to go from there */
	struct dirwatch_place *anchors[LINKS_MAX + 1]; /* referenced */
	unsigned n;
	unsigned links;
	bool follow;   /* the last component too */
	bool complete; /* none is missing */
	int reason;    /* for polling: an errno, REASON_DEAF, or 0 */
};

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
way_anchor(struct way *way, struct dirwatch_place *p)
{
	for (unsigned i = 0; i < way->n; i++)
		if (way->anchors[i] == p) /* a loop */
			return;
	way->anchors[way->n++] = place_ref(p);
}

static void
way_move(struct way *way, struct dirwatch_place *to)
{
	place_unref(way->at);
	way->at = to;
}

/* Goes on from the target of the link at which it is; false: it can't. */
static bool
way_follow(struct way *way, const char *rest)
{
	struct dirwatch_place *link = way->at;
	char bytes[PATH_MAX], target[2 * PATH_MAX];
	const char *path = place_path(link, bytes);
	size_t rest_len = strlen(rest);
	ssize_t n;

	if (path == NULL || way->links++ == LINKS_MAX)
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
	    target[0] == '/' ? place_root(link->dirwatch) :
			       place_ref(link->parent));
	return true;
}

/* Looks at the place where it is, unless that is known. */
static void
way_look(struct way *way)
{
	struct dirwatch_place *p = way->at;

	if (!p->fresh)
		place_look(p);
	if (way->reason == 0)
		way->reason = p->err != 0 ? p->err :
		    place_is_deaf(p)	  ? REASON_DEAF :
					    0;
}

static void
way_go(struct way *way)
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

/* --- items -------------------------------------------------------------------- */

static struct dirwatch_anchor *
item_anchor(struct dirwatch_item *item, unsigned i)
{
	return i == 0 ? &item->first : &item->more[i - 1];
}

static bool
item_is_anchored_as(struct dirwatch_item *item, const struct way *way)
{
	if (item->n_anchors != way->n)
		return false;
	for (unsigned i = 0; i < way->n; i++)
		if (item_anchor(item, i)->place != way->anchors[i])
			return false;
	return true;
}

static void
item_drop_anchors(struct dirwatch_item *item)
{
	for (unsigned i = 0; i < item->n_anchors; i++) {
		struct dirwatch_anchor *anchor = item_anchor(item, i);

		TAILQ_REMOVE(&anchor->place->anchors, anchor, entry);
		place_unref(anchor->place);
	}
	free(item->more);
	item->more = NULL;
	item->n_anchors = 0;
}

/* Takes the references. */
static void
item_set_anchors(struct dirwatch_item *item, const struct way *way)
{
	item_drop_anchors(item);
	item->n_anchors = (uint8_t)way->n;
	if (way->n > 1)
		item->more = memory_alloc((way->n - 1) * sizeof(*item->more));
	for (unsigned i = 0; i < way->n; i++) {
		struct dirwatch_anchor *anchor = item_anchor(item, i);
		struct dirwatch_place *p = way->anchors[i];

		*anchor = (struct dirwatch_anchor){
			.place = p,
			.item = item,
			.seen = p->sweep,
		};
		TAILQ_INSERT_TAIL(&p->anchors, anchor, entry);
	}
}

/* The place of the file itself, or NULL. */
static struct dirwatch_place *
item_end(struct dirwatch_item *item)
{
	return item->complete ? item_anchor(item, item->n_anchors - 1)->place :
				NULL;
}

static int
item_wd(struct dirwatch_item *item)
{
	const struct dirwatch_place *end = item_end(item);

	return end == NULL || end->user.mark == NULL ? -1 : end->user.mark->wd;
}

static double
item_interval(const struct dirwatch_item *item)
{
	return item->interval > 0 ? item->interval : DIRWATCH_INTERVAL_S;
}

/* Once a minute is enough, unless the reason is another. */
static void
item_explain(struct dirwatch_item *item, int reason)
{
	struct dirwatch *dirwatch = item->dirwatch;
	double now = ev_now(dirwatch->loop);
	char path[256];

	if (reason == dirwatch->explained &&
	    now < dirwatch->explained_at + EXPLAIN_EVERY_S)
		return;
	dirwatch->explained = reason;
	dirwatch->explained_at = now;
	log_escape(path, sizeof(path), item->path, strlen(item->path));
	if (reason == REASON_DEAF)
		log_notice("stat: %s is compared every %g s: the file system "
			   "does not tell of all changes",
		    path, item_interval(item));
	else
		log_warning("stat: %s is compared every %g s: %s%s", path,
		    item_interval(item), strerror(reason),
		    reason == ENOSPC	     ? " (max_user_watches)" :
			reason == EMFILE     ? " (max_user_instances)" :
			reason == EOPNOTSUPP ? " (disabled)" :
					       "");
}

static void
item_on_time(struct ev_loop *loop, struct ev_timer *timer, int revents)
{
	struct dirwatch_poll *poll = timer->data;

	(void)revents;
	timer->repeat = item_interval(poll->item);
	ev_timer_again(loop, timer);
	job_queue(poll->item->dirwatch, &poll->job);
}

static void
item_start_poll(struct dirwatch_item *item, int reason)
{
	struct dirwatch_poll *poll;

	if (item->poll != NULL)
		return;
	item_explain(item, reason);
	poll = item->poll = memory_zalloc(sizeof(*poll));
	poll->item = item;
	poll->job.is_poll = true;
	ev_timer_init(&poll->timer, item_on_time, 0, item_interval(item));
	poll->timer.data = poll;
	ev_timer_again(item->dirwatch->loop, &poll->timer);
}

static void
item_stop_poll(struct dirwatch_item *item)
{
	struct dirwatch *dirwatch = item->dirwatch;

	if (item->poll == NULL)
		return;
	ev_timer_stop(dirwatch->loop, &item->poll->timer);
	job_remove(dirwatch, &item->poll->job);
	free(item->poll);
	item->poll = NULL;
}

/* Goes the way from the root, so that any change makes an event. */
static void
item_walk(struct dirwatch_item *item)
{
	struct way way;
	int err = -marks_open(&item->dirwatch->marks);

	if (err != 0) {
		item_start_poll(item, err);
		return;
	}
	way.n = way.links = 0;
	way.reason = 0;
	way.complete = false;
	way.follow = item->follow || way_ends_as_directory(item->path);
	strcpy(way.rest, item->path);
	way.at = place_root(item->dirwatch);
	way_go(&way);
	way_anchor(&way, way.at);
	place_unref(way.at);
	if (item_is_anchored_as(item, &way))
		for (unsigned i = 0; i < way.n; i++)
			place_unref(way.anchors[i]);
	else
		item_set_anchors(item, &way);
	item->complete = way.complete &&
	    item_anchor(item, item->n_anchors - 1)->place == way.at;
	if (way.reason != 0)
		item_start_poll(item, way.reason);
	else
		item_stop_poll(item);
}

/* Two changes may leave the same times. */
static bool
item_is_coarse(struct dirwatch_item *item, const struct filestate *state)
{
	const struct dirwatch_place *end = item_end(item);

	return filestate_is_there(state) &&
	    ((end != NULL && end->user.mark != NULL &&
		 end->user.mark->coarse) ||
		state->ctime_ns == 0); /* whole seconds */
}

/*
 * touched: there was an event about the file itself.  Another file with the
 * number of the one before may have all else in common too, but not the mark.
 */
static int
item_compare(struct dirwatch_item *item, bool touched)
{
	int wd = item_wd(item), wd_before = item->wd;
	struct filestate state;
	bool changed;
	int err = filestate_take(&state, item->path, item->follow);

	if (err < 0) {
		/* What is there can't be said: until it can, ask again. */
		item_start_poll(item, -err);
		return err;
	}
	changed = !filestate_equal(&state, &item->state) ||
	    (filestate_is_there(&state) && wd >= 0 && wd_before >= 0 &&
		wd != wd_before) ||
	    (touched && item_is_coarse(item, &state));
	item->state = state;
	item->wd = wd;
	if (changed)
		item->on_change(item);
	return 0;
}

int
dirwatch_add(struct dirwatch *dirwatch, struct dirwatch_item *item)
{
	int err;

	item->dirwatch = dirwatch;
	item->complete = false;
	item_walk(item);
	err = filestate_take(&item->state, item->path, item->follow);
	if (err < 0)
		dirwatch_del(item);
	else
		item->wd = item_wd(item);
	return err;
}

void
dirwatch_del(struct dirwatch_item *item)
{
	if (item->dirwatch == NULL)
		return;
	item_stop_poll(item);
	item_drop_anchors(item);
	item->dirwatch = NULL;
}

int
dirwatch_compare(struct dirwatch_item *item)
{
	if (item->poll != NULL) {
		item->poll->timer.repeat = item_interval(item);
		ev_timer_again(item->dirwatch->loop, &item->poll->timer);
	}
	item_walk(item);
	return item_compare(item, false);
}

bool
dirwatch_is_polled(const struct dirwatch_item *item)
{
	return item->poll != NULL;
}

/* --- jobs ---------------------------------------------------------------------- */

static void
place_visit_child(struct dirwatch_place *p, struct dirwatch_place *child)
{
	TAILQ_REMOVE(&p->children, child, sibling);
	TAILQ_INSERT_TAIL(&p->children, child, sibling);
	child->seen = p->sweep;
	child->look = true;
	child->force |= p->force;
	child->sweep++;
	job_queue_first(p->dirwatch, &child->job);
}

/* May free the place, and call on_change. */
static void
place_visit_anchor(struct dirwatch_place *p, struct dirwatch_anchor *anchor)
{
	struct dirwatch_item *item = anchor->item;
	bool touched = p->touched && item_end(item) == p;

	TAILQ_REMOVE(&p->anchors, anchor, entry);
	TAILQ_INSERT_TAIL(&p->anchors, anchor, entry);
	anchor->seen = p->sweep;
	if (p->force)
		item_walk(item);
	item_compare(item, touched);
}

/* One step of the job. */
static void
place_step(struct dirwatch_place *p)
{
	struct dirwatch_place *child = TAILQ_FIRST(&p->children);
	struct dirwatch_anchor *anchor = TAILQ_FIRST(&p->anchors);

	if (p->look) {
		place_look(p);
	} else if (p->force && child != NULL && child->seen != p->sweep) {
		place_visit_child(p, child);
	} else if (anchor != NULL && anchor->seen != p->sweep) {
		place_visit_anchor(p, anchor);
	} else {
		p->force = p->touched = false;
		job_remove(p->dirwatch, &p->job);
	}
}

static void
item_step(struct dirwatch_item *item)
{
	job_remove(item->dirwatch, &item->poll->job);
	item_walk(item);
	item_compare(item, false);
}

static void
dirwatch_on_prepare(struct ev_loop *loop, struct ev_prepare *prepare,
    int revents)
{
	struct dirwatch *dirwatch = prepare->data;
	struct dirwatch_job *job;

	(void)revents;
	for (int i = 0; i < DIRWATCH_STEPS; i++) {
		job = TAILQ_FIRST(&dirwatch->jobs);
		if (job == NULL)
			break;
		if (job->is_poll)
			item_step(((struct dirwatch_poll *)job)->item);
		else
			place_step(PLACE_OF(job, job));
	}
	if (TAILQ_EMPTY(&dirwatch->jobs))
		ev_idle_stop(loop, &dirwatch->busy);
}

/* --- events -------------------------------------------------------------------- */

static void
dirwatch_look_at_all(struct dirwatch *dirwatch)
{
	struct dirwatch_place *root = dirwatch->root;

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
place_on_entry(struct dirwatch_place *p, uint32_t mask, const char *name)
{
	struct dirwatch_place *child = place_find(p, name, strlen(name));

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
place_on_self(struct dirwatch_place *p, uint32_t mask)
{
	bool mode = (mask & IN_ATTRIB) && p->kind == PLACE_DIRECTORY;

	p->look |= mode || (mask & IN_IGNORED);
	p->force |= mode;
	p->touched |= !TAILQ_EMPTY(&p->anchors);
	if (p->look || p->touched)
		place_queue(p);
}

static void
dirwatch_on_event(struct marks *marks, struct mark *mark, uint32_t mask,
    const char *name)
{
	struct mark_user *user;

	(void)marks;
	LIST_FOREACH(user, &mark->users, entry) {
		struct dirwatch_place *p = PLACE_OF(user, user);

		if (name != NULL)
			place_on_entry(p, mask, name);
		/* Of an entry: only if there is one more now, or less. */
		if (name == NULL || !(mask & IN_ATTRIB))
			place_on_self(p, name == NULL ? mask : 0);
	}
}

static void
dirwatch_on_overflow(struct marks *marks)
{
	struct dirwatch *dirwatch = (struct dirwatch *)((char *)marks -
	    offsetof(struct dirwatch, marks));

	log_notice("stat: events of inotify were lost; all is compared");
	dirwatch_look_at_all(dirwatch);
}

/*
 * Nothing but this tells of a mount over a place.  What the kernel gives for
 * it is an error condition, once, which libev hands to writers too: the file
 * is always readable, and never writable.
 */
static void
dirwatch_on_mounts(struct ev_loop *loop, struct ev_io *watcher, int revents)
{
	(void)loop;
	if (revents & EV_ERROR)
		log_warning("stat: mounts will not be noticed: epoll_ctl: "
			    "there is no room to wait for them");
	dirwatch_look_at_all(watcher->data);
}

static void
dirwatch_open_mounts(struct dirwatch *dirwatch)
{
	dirwatch->mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	if (dirwatch->mounts < 0) {
		log_warning("stat: mounts will not be noticed: "
			    "/proc/self/mountinfo: %s",
		    strerror(errno));
		return;
	}
	ev_io_init(&dirwatch->mounts_watcher, dirwatch_on_mounts,
	    dirwatch->mounts, EV_WRITE);
	dirwatch->mounts_watcher.data = dirwatch;
	ev_io_start(dirwatch->loop, &dirwatch->mounts_watcher);
}

static void
dirwatch_close_mounts(struct dirwatch *dirwatch)
{
	if (dirwatch->mounts < 0)
		return;
	ev_io_stop(dirwatch->loop, &dirwatch->mounts_watcher);
	close(dirwatch->mounts);
	dirwatch->mounts = -1;
}

uint64_t
dirwatch_gather(struct dirwatch *dirwatch)
{
	/* A descriptor of -1 has no events. */
	struct pollfd mounts = { .fd = dirwatch->mounts, .events = POLLPRI };

	marks_gather(&dirwatch->marks);
	if (poll(&mounts, 1, 0) == 1)
		dirwatch_look_at_all(dirwatch);
	return dirwatch->tickets;
}

bool
dirwatch_is_done(const struct dirwatch *dirwatch, uint64_t ticket)
{
	const struct dirwatch_job *job = TAILQ_FIRST(&dirwatch->jobs);

	return job == NULL || job->ticket > ticket;
}

/* --- life ---------------------------------------------------------------------- */

void
dirwatch_init(struct dirwatch *dirwatch, struct ev_loop *loop)
{
	*dirwatch = (struct dirwatch){ .loop = loop, .mounts = -1 };
	TAILQ_INIT(&dirwatch->jobs);
	table_init(&dirwatch->places);
	marks_init(&dirwatch->marks, loop);
	dirwatch->marks.on_event = dirwatch_on_event;
	dirwatch->marks.on_overflow = dirwatch_on_overflow;
	busy_init(&dirwatch->busy);
	ev_prepare_init(&dirwatch->prepare, dirwatch_on_prepare);
	dirwatch->prepare.data = dirwatch;
	ev_prepare_start(loop, &dirwatch->prepare);
}

void
dirwatch_fini(struct dirwatch *dirwatch)
{
	ev_prepare_stop(dirwatch->loop, &dirwatch->prepare);
	ev_idle_stop(dirwatch->loop, &dirwatch->busy);
	marks_fini(&dirwatch->marks);
	table_fini(&dirwatch->places);
}
