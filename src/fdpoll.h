#ifndef EVD_FDPOLL_H
#define EVD_FDPOLL_H

#include <ev.h>
#include <stdint.h>

/*
 * An epoll of our own, itself one descriptor in libev's loop, for descriptors
 * that libev must not hold: libev never removes one from its epoll (so what
 * stays open elsewhere keeps firing), and can't wait for a hang-up alone.
 * Here epoll's own flags are at hand, and fdpoll_del() removes at once.
 */
struct fdpoll_item {
	int fd; /* borrowed; -1 while not added */
	/* May add and delete any item, also its own, and free them. */
	void (*on_events)(struct fdpoll_item *, uint32_t events);
};

#define FDPOLL_EVENTS 64

struct epoll_event;

struct fdpoll {
	struct ev_loop *loop;
	struct ev_io watcher;
	int fd;
	/* What is being handed out; an item that is deleted is taken out. */
	struct fdpoll_item *ready[FDPOLL_EVENTS];
	int n_ready;
};

/* Returns 0 or a negative errno. */
int fdpoll_init(struct fdpoll *, struct ev_loop *);
void fdpoll_fini(struct fdpoll *);

/* events as epoll_ctl(2) takes them.  Each returns 0 or a negative errno. */
int fdpoll_add(struct fdpoll *, struct fdpoll_item *, uint32_t events);
int fdpoll_mod(struct fdpoll *, struct fdpoll_item *, uint32_t events);

/* Before the descriptor is closed.  Does nothing for one not added. */
void fdpoll_del(struct fdpoll *, struct fdpoll_item *);

/* Hands out all that is ready now, without waiting. */
void fdpoll_gather(struct fdpoll *);

#endif
