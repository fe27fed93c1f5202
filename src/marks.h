#ifndef EVD_MARKS_H
#define EVD_MARKS_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "hash.h"
#include "table.h"

/*
 * inotify: one descriptor for all (a user may have 128), and a mark on each
 * directory and file that anybody asks for.  However many names an inode has,
 * it has one mark, as the kernel has it.
 *
 * The descriptor is opened when it is first needed.
 */
struct mark {
	struct table_node node; /* by wd */
	int wd;			/* -1: the kernel has dropped it */
	bool looked; /* at the file system; until then the others are true */
	bool deaf;   /* the file system does not tell of all changes */
	bool coarse; /* two changes may have the same time */
	LIST_HEAD(, mark_user) users;
};

/* Inside of what has asked; a mark lives while it has users. */
struct mark_user {
	struct mark *mark; /* NULL: none */
	LIST_ENTRY(mark_user) entry;
};

struct marks {
	struct ev_loop *loop;
	struct ev_io watcher;
	int fd; /* -1: not open */
	struct table table;
	struct hash_key key;
	/*
	 * mask as in inotify(7); name: of an entry of the directory, or NULL.
	 * With IN_IGNORED the mark is dropped.  Neither function may add or
	 * remove marks.
	 */
	void (*on_event)(struct marks *, struct mark *, uint32_t mask,
	    const char *name);
	/* Events were lost. */
	void (*on_overflow)(struct marks *);
};

/* The two functions are the caller's to fill. */
void marks_init(struct marks *, struct ev_loop *);
/* Nobody uses a mark any more. */
void marks_fini(struct marks *);

/*
 * Opens the descriptor if it is not yet.  Returns 0 or a negative errno:
 * -EMFILE if the user has too many, -EOPNOTSUPP if the feature is disabled.
 */
int marks_open(struct marks *);

/*
 * Marks what is at the path, itself if that is a symbolic link, in place of
 * what the user has used before.  Returns 0 or a negative errno: then it uses
 * none.
 */
int marks_use(struct marks *, struct mark_user *, const char *path,
    bool directory);
void marks_unuse(struct marks *, struct mark_user *);

/* Reads all that is there now; not more than the kernel's queue holds. */
void marks_gather(struct marks *);

#endif
