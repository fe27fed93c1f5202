#include "config.h"

#include "closer.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

#define CLOSER_STACK_SIZE (64 * 1024)

static bool
closer_may_wait(int fd)
{
	struct linger linger;
	socklen_t len = sizeof(linger);

	return getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len) == 0 &&
	    linger.l_onoff && linger.l_linger > 0;
}

static void *
closer_run(void *fd)
{
	close((int)(intptr_t)fd);
	return NULL;
}

/* Signals are the loop's, so the thread begins with all blocked. */
static int
closer_start(int fd)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t all, mask;
	int err;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, CLOSER_STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &mask);
	err = pthread_create(&thread, &attributes, closer_run,
	    (void *)(intptr_t)fd);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	pthread_attr_destroy(&attributes);
	return err;
}

void
closer_close(int fd)
{
	int err;

	if (closer_may_wait(fd)) {
		err = closer_start(fd);
		if (err == 0)
			return;
		log_warning("closing a socket that lingers may take a while: "
			    "pthread_create: %s",
		    strerror(err));
	}
	close(fd);
}
