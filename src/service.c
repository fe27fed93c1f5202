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
#include <dlfcn.h>
#include <systemd/sd-daemon.h>
#else
#define WITH_SYSTEMD false
#endif

#include "log.h"

/* Status lines: so many in so many seconds. */
#define STATUS_MAX     10
#define STATUS_SECONDS 10.0
#define NOTIFY_SIZE    128

/* --- libsystemd ----------------------------------------------------------- */

#ifdef HAVE_SYSTEMD
/*
 * It is loaded when systemd has left something for it in the environment:
 * linked, it and what it needs itself made each start of evd twice as long
 * (6 ms) and took 200 KiB.
 */
static void *
service_symbol(const char *name)
{
	static void *libsystemd;

	if (libsystemd == NULL)
		libsystemd = dlopen("libsystemd.so.0", RTLD_NOW);
	if (libsystemd == NULL)
		log_error("systemd has started evd, which can't load its "
			  "library: %s",
		    dlerror());
	return libsystemd == NULL ? NULL : dlsym(libsystemd, name);
}

/* Sockets that were passed, or an errno as a negative number. */
static int
service_count_sockets(void)
{
	__typeof__(sd_listen_fds) *listen_fds;

	if (getenv("LISTEN_FDS") == NULL)
		return 0;
	listen_fds = service_symbol("sd_listen_fds");
	return listen_fds == NULL ? -ELIBACC : listen_fds(true);
}

static bool
service_is_listener(int fd)
{
	__typeof__(sd_is_socket_unix) *is_socket_unix = service_symbol(
	    "sd_is_socket_unix");

	return is_socket_unix != NULL &&
	    is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) > 0;
}

/* In microseconds; 0: systemd does not watch. */
static uint64_t
service_watchdog(void)
{
	__typeof__(sd_watchdog_enabled) *watchdog_enabled;
	uint64_t usec = 0;

	if (getenv("WATCHDOG_USEC") == NULL)
		return 0;
	watchdog_enabled = service_symbol("sd_watchdog_enabled");
	if (watchdog_enabled == NULL || watchdog_enabled(true, &usec) <= 0)
		return 0;
	return usec;
}
#else
#define SD_LISTEN_FDS_START 3

static int
service_count_sockets(void)
{
	return 0;
}

static bool
service_is_listener(int fd)
{
	return false;
}

static uint64_t
service_watchdog(void)
{
	return 0;
}
#endif

/* --- what was passed ------------------------------------------------------ */

int
service_take_socket(int *fd)
{
	int n = service_count_sockets();

	*fd = -1;
	if (n < 0) {
		log_error("LISTEN_FDS: %s", strerror(-n));
		return -1;
	}
	if (n > 1) {
		log_error("%d descriptors were passed, expected one", n);
		return -1;
	}
	if (n == 1 && !service_is_listener(SD_LISTEN_FDS_START)) {
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
	uint64_t usec = service_watchdog();

	if (usec == 0 || service->fd < 0)
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
