#ifndef EVD_SERVICE_H
#define EVD_SERVICE_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "throttle.h"

/*
 * The daemon as a service of systemd's: a socket that systemd listens on, and
 * notifications to it.  Without systemd, at run time or at build time, all of
 * this does nothing.
 *
 * No notification ever waits: what systemd has no room for is dropped.  Nor
 * does any wake the daemon up, but for those of a watchdog.
 */
struct service {
	int fd; /* to send from; -1: nobody wants to be notified */
	struct sockaddr_un address;
	socklen_t address_len;
	bool stopping;
	struct ev_loop *loop;
	struct ev_timer watchdog;
	struct throttle throttle; /* of status */
	uint64_t clients;	  /* as notified last */
	uint64_t watchers;
};

/*
 * The listening socket that was passed, in *fd, which is the caller's then;
 * -1 if there is none.  Returns 0, or -1 after logging what was passed in its
 * place.  To be called once, first of all.
 */
int service_take_socket(int *fd);

/* For a daemon that goes into the background: whoever started it is not it. */
void service_leave(void);

/* Clients can connect.  From here on a watchdog is kept by the loop. */
void service_start(struct service *, struct ev_loop *);
/* The daemon is about to end. */
void service_stop(struct service *);
void service_fini(struct service *);

/*
 * Once an iteration: notifies what has changed, unless that was done too often
 * of late.  now: by a clock that never goes back.
 */
void service_update(struct service *, double now, uint64_t clients,
    uint64_t watchers);

#endif
