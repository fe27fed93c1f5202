#include "config.h"

#include "marks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "feature.h"
#include "log.h"
#include "memory.h"

/* Of events, read in one iteration: some hundreds. */
#define MARKS_READ_MAX (16 * 1024)

#define MARKS_OF_ALL (IN_ATTRIB | IN_MOVE_SELF)
#define MARKS_OF_DIRECTORIES \
	(MARKS_OF_ALL | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)
#define MARKS_OF_FILES (MARKS_OF_ALL | IN_MODIFY | IN_CLOSE_WRITE)

/*
 * The file systems on which every change passes through this kernel, names
 * are compared byte by byte, and so inotify tells all.  On others (a network's,
 * FUSE, proc) it may not.  fine: since kernels have fine times at all, no two
 * changes of a file that was looked at in between have the same.
 */
static const struct {
	uint32_t type;
	bool fine;
} marks_file_systems[] = {
	{ 0xef53, true },      /* ext2, ext3, ext4 */
	{ 0x58465342, true },  /* xfs */
	{ 0x9123683e, true },  /* btrfs */
	{ 0x01021994, true },  /* tmpfs */
	{ 0x858458f6, false }, /* ramfs */
	{ 0x794c7630, false }, /* overlayfs */
	{ 0xf2f52010, false }, /* f2fs */
	{ 0xca451a4e, false }, /* bcachefs */
	{ 0x2fc12fc1, false }, /* zfs */
	{ 0x3153464a, false }, /* jfs */
	{ 0x52654973, false }, /* reiserfs */
	{ 0x3434, false },     /* nilfs2 */
	{ 0xe0f5e1e2, false }, /* erofs */
	{ 0x73717368, false }, /* squashfs */
};

/* --- marks ---------------------------------------------------------------- */

static uint32_t
marks_hash(const struct marks *marks, int wd)
{
	return hash_bytes(&marks->key, &wd, sizeof(wd));
}

static bool
marks_match(const struct table_node *node, const void *key)
{
	return ((const struct mark *)node)->wd == *(const int *)key;
}

static struct mark *
marks_find(const struct marks *marks, int wd)
{
	return (struct mark *)table_find(&marks->table, marks_hash(marks, wd),
	    marks_match, &wd);
}

static void
mark_look_at_file_system(struct mark *mark, const char *path)
{
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct statfs fs;
	int err = fd < 0 ? -1 : fstatfs(fd, &fs);

	if (fd >= 0)
		close(fd);
	mark->deaf = mark->coarse = true;
	if (err < 0) /* gone by now, or no descriptor: try again later */
		return;
	mark->looked = true;
	for (size_t i = 0;
	     i < sizeof(marks_file_systems) / sizeof(marks_file_systems[0]);
	     i++) {
		if (marks_file_systems[i].type != (uint32_t)fs.f_type)
			continue;
		mark->deaf = false;
		mark->coarse = !marks_file_systems[i].fine ||
		    !feature_enabled(FEATURE_FINE_MTIME);
	}
}

static struct mark *
mark_new(struct marks *marks, int wd)
{
	struct mark *mark = memory_zalloc(sizeof(*mark));

	mark->wd = wd;
	LIST_INIT(&mark->users);
	table_insert(&marks->table, &mark->node, marks_hash(marks, wd));
	return mark;
}

static void
mark_drop(struct marks *marks, struct mark *mark)
{
	table_remove(&marks->table, &mark->node);
	mark->wd = -1;
}

void
marks_unuse(struct marks *marks, struct mark_user *user)
{
	struct mark *mark = user->mark;

	if (mark == NULL)
		return;
	LIST_REMOVE(user, entry);
	user->mark = NULL;
	if (!LIST_EMPTY(&mark->users))
		return;
	if (mark->wd >= 0) {
		/* EINVAL: the kernel has just dropped it. */
		inotify_rm_watch(marks->fd, mark->wd);
		mark_drop(marks, mark);
	}
	free(mark);
}

int
marks_use(struct marks *marks, struct mark_user *user, const char *path,
    bool directory)
{
	struct mark *mark;
	int wd, err;

	err = marks_open(marks);
	if (err < 0) {
		marks_unuse(marks, user);
		return err;
	}
	wd = inotify_add_watch(marks->fd, path,
	    IN_DONT_FOLLOW | IN_MASK_ADD |
		(directory ? MARKS_OF_DIRECTORIES | IN_ONLYDIR :
			     MARKS_OF_FILES));
	if (wd < 0) {
		err = -errno;
		marks_unuse(marks, user);
		return err;
	}
	mark = marks_find(marks, wd);
	if (mark == NULL)
		mark = mark_new(marks, wd);
	if (!mark->looked)
		mark_look_at_file_system(mark, path);
	if (mark == user->mark)
		return 0;
	marks_unuse(marks, user);
	user->mark = mark;
	LIST_INSERT_HEAD(&mark->users, user, entry);
	return 0;
}

/* --- events ---------------------------------------------------------------- */

static void
marks_dispatch(struct marks *marks, const struct inotify_event *event)
{
	struct mark *mark;

	if (event->mask & IN_Q_OVERFLOW) {
		marks->on_overflow(marks);
		return;
	}
	mark = marks_find(marks, event->wd);
	if (mark == NULL)
		return;
	if (event->mask & IN_IGNORED)
		mark_drop(marks, mark);
	marks->on_event(marks, mark, event->mask,
	    event->len > 0 ? event->name : NULL);
}

/* Returns the number of bytes read. */
static size_t
marks_read(struct marks *marks)
{
	char bytes[MARKS_READ_MAX]
	    __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n = read(marks->fd, bytes, sizeof(bytes));

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			log_error("inotify: %s", strerror(errno));
		return 0;
	}
	for (ssize_t at = 0; at < n;) {
		const struct inotify_event
		    *event = (const struct inotify_event *)(bytes + at);

		at += sizeof(*event) + event->len;
		marks_dispatch(marks, event);
	}
	return (size_t)n;
}

void
marks_gather(struct marks *marks)
{
	int there;
	size_t done = 0, n;

	if (marks->fd < 0 || ioctl(marks->fd, FIONREAD, &there) < 0)
		return;
	while (done < (size_t)there && (n = marks_read(marks)) > 0)
		done += n;
}

static void
marks_on_ready(struct ev_loop *loop, struct ev_io *watcher, int revents)
{
	(void)loop;
	if (revents & EV_ERROR)
		fatal(
		    "epoll_ctl: there is no room to wait for changes of files");
	marks_read(watcher->data);
}

/* --- life ------------------------------------------------------------------ */

void
marks_init(struct marks *marks, struct ev_loop *loop)
{
	*marks = (struct marks){ .loop = loop, .fd = -1 };
	table_init(&marks->table);
	hash_key_init(&marks->key);
}

int
marks_open(struct marks *marks)
{
	if (marks->fd >= 0)
		return 0;
	if (!feature_enabled(FEATURE_INOTIFY))
		return -EOPNOTSUPP;
	marks->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (marks->fd < 0)
		return -errno;
	ev_io_init(&marks->watcher, marks_on_ready, marks->fd, EV_READ);
	marks->watcher.data = marks;
	ev_io_start(marks->loop, &marks->watcher);
	return 0;
}

void
marks_fini(struct marks *marks)
{
	if (marks->fd >= 0) {
		ev_io_stop(marks->loop, &marks->watcher);
		close(marks->fd);
	}
	table_fini(&marks->table);
}
