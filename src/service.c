#include "config.h"

#include "service.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#define WITH_SYSTEMD true
#include <systemd/sd-daemon.h>
#else
#define WITH_SYSTEMD false
#endif

#include "log.h"

/* Status lines: so many in so many seconds. */
#define STATUS_MAX     10
#define STATUS_SECONDS 10.0
#define NOTIFY_SIZE    128

#ifndef HAVE_SYSTEMD
#define SD_LISTEN_FDS_START 3

static int
sd_listen_fds(int unset_environment)
{
	return 0;
}

static int
sd_is_socket_unix(int fd, int type, int listening, const char *path, size_t len)
{
	return 0;
}

static int
sd_watchdog_enabled(int unset_environment, uint64_t *usec)
{
	return 0;
}
#endif

/* --- what was passed ------------------------------------------------------ */

int
service_take_socket(int *fd)
{
	int n = sd_listen_fds(true);

	*fd = -1;
	if (n < 0) {
		log_error("LISTEN_FDS: %s", strerror(-n));
		return -1;
	}
	if (n > 1) {
		log_error("%d descriptors were passed, expected one", n);
		return -1;
	}
	if (n == 1 &&
	    sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_STREAM, 1, NULL, 0) <=
		0) {
		log_error("the descriptor that was passed is not a listening "
			  "Unix stream socket");
		return -1;
	}
	if (n == 1)
		*fd = SD_LISTEN_FDS_START;
	return 0;
}

void
service_leave(void)
{
	static const char *const names[] = { "LISTEN_FDS", "LISTEN_FDNAMES",
		"LISTEN_PID", "NOTIFY_SOCKET", "WATCHDOG_PID",
		"WATCHDOG_USEC" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unsetenv(names[i]);
}

/* --- notifications -------------------------------------------------------- */

/*
 * libsystemd's own sd_notify() waits for room, and with it would all clients
 * while systemd is busy.
 */
static bool
service_notify(struct service *service, const char *text, int flags)
{
	if (service->fd < 0)
		return false;
	return sendto(service->fd, text, strlen(text), MSG_NOSIGNAL | flags,
		   (struct sockaddr *)&service->address,
		   service->address_len) >= 0;
}

/* NOTIFY_SOCKET: a path, or a name that is not in the file system after @. */
static void
service_open(struct service *service)
{
	const char *name = getenv("NOTIFY_SOCKET");
	size_t len = name == NULL ? 0 : strlen(name);

	if (!WITH_SYSTEMD || len == 0)
		return;
	if ((name[0] != '/' && name[0] != '@') ||
	    len >= sizeof(service->address.sun_path)) {
		log_warning("NOTIFY_SOCKET is no address of a Unix socket");
		return;
	}
	service->address.sun_family = AF_UNIX;
	memcpy(service->address.sun_path, name, len + 1);
	service->address_len = offsetof(struct sockaddr_un, sun_path) + len +
	    (name[0] == '/');
	if (name[0] == '@')
		service->address.sun_path[0] = '\0';
	service->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (service->fd < 0)
		log_error("a socket for notifications: %s", strerror(errno));
}

static void
service_on_watchdog(struct ev_loop *loop, struct ev_timer *timer, int revents)
{
	struct service *service = timer->data;

	(void)loop;
	(void)revents;
	service_notify(service, "WATCHDOG=1", MSG_DONTWAIT);
}

static void
service_start_watchdog(struct service *service)
{
	uint64_t usec;

	if (sd_watchdog_enabled(true, &usec) <= 0 || service->fd < 0)
		return;
	/* Twice as often as need be. */
	ev_timer_set(&service->watchdog, 0, (double)usec / 2e6);
	ev_timer_again(service->loop, &service->watchdog);
}

static void
service_format_status(char out[NOTIFY_SIZE], const char *first,
    uint64_t clients, uint64_t watchers)
{
	snprintf(out, NOTIFY_SIZE,
	    "%sSTATUS=clients: %" PRIu64 ", watchers: %" PRIu64, first, clients,
	    watchers);
}

void
service_update(struct service *service, double now, uint64_t clients,
    uint64_t watchers)
{
	char text[NOTIFY_SIZE];

	if (service->fd < 0 ||
	    (clients == service->clients && watchers == service->watchers) ||
	    !throttle_has_room(&service->throttle, now, STATUS_MAX,
		STATUS_SECONDS))
		return;
	throttle_use(&service->throttle, now, STATUS_SECONDS);
	service_format_status(text, "", clients, watchers);
	if (!service_notify(service, text, MSG_DONTWAIT))
		return;
	service->clients = clients;
	service->watchers = watchers;
}

/* --- life ----------------------------------------------------------------- */

void
service_start(struct service *service, struct ev_loop *loop)
{
	char text[NOTIFY_SIZE];

	*service = (struct service){ .fd = -1, .loop = loop };
	ev_init(&service->watchdog, service_on_watchdog);
	service->watchdog.data = service;
	service_open(service);
	service_format_status(text, "READY=1\n", 0, 0);
	/* Nobody is served yet who could be kept waiting. */
	if (service->fd >= 0 && !service_notify(service, text, 0))
		log_error("NOTIFY_SOCKET: %s", strerror(errno));
	service_start_watchdog(service);
}

void
service_stop(struct service *service)
{
	if (!service->stopping)
		service_notify(service, "STOPPING=1", MSG_DONTWAIT);
	service->stopping = true;
}

void
service_fini(struct service *service)
{
	ev_timer_stop(service->loop, &service->watchdog);
	if (service->fd >= 0)
		close(service->fd);
	service->fd = -1;
}
