#ifndef EVD_MOUNTS_H
#define EVD_MOUNTS_H

#include <ev.h>

/*
 * Tells that something was mounted or unmounted, which inotify does not:
 * nothing but this tells of a mount over a place.
 */
struct mounts {
	struct ev_loop *loop;
	struct ev_io watcher;
	int fd;				    /* -1: not open */
	void (*on_change)(struct mounts *); /* perhaps for nothing */
};

/* on_change is the caller's to fill. */
void mounts_init(struct mounts *, struct ev_loop *);

/* Begins; if that can't be, logs why, and tells nothing. */
void mounts_open(struct mounts *);
/* Ends.  Does nothing if it is not open. */
void mounts_close(struct mounts *);

/* Tells at once if there is something to tell now. */
void mounts_gather(struct mounts *);

#endif
