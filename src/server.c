#include "config.h"

#include "server.h"

#include <errno.h>
#include <ev.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "acceptor.h"
#include "backend.h"
#include "busy.h"
#include "client.h"
#include "command.h"
#include "log.h"
#include "memory.h"
#include "refusal.h"
#include "service.h"
#include "session.h"

/*
 * The loop's iteration.  libev's callbacks only note what happened: a socket
 * is readable, a timer has fired.  Just before libev blocks again,
 * server_on_prepare() serves each client for which there is something to do,
 * once: lines in, commands, events out, one write.  Where more is left than
 * is fair for one iteration, an idle watcher keeps libev from blocking.
 */

/* Descriptors that what clients pass leaves free. */
#define FDS_RESERVED 64
/* For clients to take what is pending when the daemon ends, in seconds. */
#define EXIT_GRACE_S 1.0

struct server {
	struct command_context context; /* first */
	struct ev_loop *loop;
	struct wallclock clock;
	struct timelines timelines;
	struct alarms alarms;
	struct zones zones;
	struct limits limits;
	struct registry registry;
	struct fdpoll hangups; /* of half-closed peers */
	struct fdpoll fdpoll;  /* what clients have passed */
	struct pidpoll pidpoll;
	struct children children;
	struct signals signals;
	struct stats stats;
	struct dirwatch dirwatch;
	struct buffer_pool pool;
	struct socket_listener listener;
	struct service service;
	struct refusals refusals;
	struct rlimit nofile; /* as evd found it */

	struct acceptor acceptor;
	struct ev_prepare prepare;
	struct ev_idle busy;
	struct ev_async nudge;
	struct ev_signal sigterm, sigint;
	struct ev_timer idle_timer;
	struct ev_timer exit_timer;
	double exit_idle;

	struct clients clients;
	bool retired; /* idle: who is still there is served to the end */
};

static void
server_start_idle_timer(struct server *server)
{
	if (server->exit_idle < 0)
		return;
	ev_timer_set(&server->idle_timer, server->exit_idle, 0);
	ev_timer_start(server->loop, &server->idle_timer);
}

/* --- the iteration ------------------------------------------------------ */

/* All are served, and no child is left that is to end with its session. */
static bool
server_is_done(const struct server *server)
{
	return (server->clients.exiting || server->retired) &&
	    server->clients.n == 0 && TAILQ_EMPTY(&server->clients.dying) &&
	    !children_are_ending(&server->children);
}

static void
server_on_prepare(struct ev_loop *loop, struct ev_prepare *prepare, int revents)
{
	struct server *server = prepare->data;

	(void)revents;
	if (clients_serve(&server->clients)) {
		ev_idle_start(loop, &server->busy);
	} else {
		ev_idle_stop(loop, &server->busy);
		server->stats.wakeups++;
	}
	service_update(&server->service, wallclock_monotonic(&server->clock),
	    server->clients.n, server->limits.used[LIMIT_WATCHERS]);
	if (server_is_done(server))
		ev_break(loop, EVBREAK_ALL);
}

/*
 * libev may find that it can't wait for a descriptor only after it has decided
 * for how long to block, and then sleeps over what it has to tell of that.
 */
static void
server_on_block(struct ev_loop *loop)
{
	struct server *server = ev_userdata(loop);

	if (ev_pending_count(loop) > 0)
		ev_async_send(loop, &server->nudge);
}

static void
server_on_unblock(struct ev_loop *loop)
{
	(void)loop;
}

static void
server_on_nudge(struct ev_loop *loop, struct ev_async *nudge, int revents)
{
	(void)loop;
	(void)nudge;
	(void)revents;
}

static uint64_t
server_gather(struct command_context *context)
{
	struct server *server = (struct server *)context;

	fdpoll_gather(&server->fdpoll);
	children_gather(&server->children);
	pidpoll_gather(&server->pidpoll);
	signals_gather(&server->signals);
	return dirwatch_gather(&server->dirwatch);
}

static bool
server_has_gathered(const struct command_context *context, uint64_t ticket)
{
	const struct server *server = (const struct server *)context;

	return dirwatch_is_done(&server->dirwatch, ticket);
}

/* --- accepting ---------------------------------------------------------- */

#define SERVER_OF_ACCEPTOR(a) \
	((struct server *)((char *)(a)-offsetof(struct server, acceptor)))

static void
server_on_accept(struct acceptor *acceptor, int fd)
{
	struct server *server = SERVER_OF_ACCEPTOR(acceptor);

	ev_timer_stop(server->loop, &server->idle_timer);
	client_new(&server->clients, fd);
}

static void
server_stop_accepting(struct server *server)
{
	acceptor_stop(&server->acceptor);
	ev_timer_stop(server->loop, &server->idle_timer);
	service_stop(&server->service);
	socket_retire(&server->listener);
}

static void
server_on_shut(struct acceptor *acceptor)
{
	struct server *server = SERVER_OF_ACCEPTOR(acceptor);

	log_error("the socket was shut down by another process that has it: "
		  "evd ends with its last client");
	server_stop_accepting(server);
	server->retired = true;
}

static void
server_init_acceptor(struct server *server)
{
	server->acceptor = (struct acceptor){
		.loop = server->loop,
		.listener = &server->listener,
		.pool = &server->pool,
		.refusals = &server->refusals,
		.clock = &server->clock,
		.on_accept = server_on_accept,
		.on_shut = server_on_shut,
	};
	acceptor_init(&server->acceptor);
}

/* --- the end ------------------------------------------------------------ */

/*
 * Whoever connected before the socket was gone is served to the end.  A socket
 * that was passed stays, and whoever connected to it has another daemon come.
 */
static void
server_on_idle(struct ev_loop *loop, struct ev_timer *timer, int revents)
{
	struct server *server = timer->data;

	(void)loop;
	(void)revents;
	server_stop_accepting(server);
	server->retired = true;
	if (!server->listener.adopted)
		acceptor_drain(&server->acceptor);
	if (server->clients.n == 0)
		log_notice("ending: no client for %g s", server->exit_idle);
}

static void
server_on_signal(struct ev_loop *loop, struct ev_signal *signal, int revents)
{
	struct server *server = signal->data;

	(void)revents;
	if (server->clients.exiting)
		return;
	log_notice("ending: %s", strsignal(signal->signum));
	server_stop_accepting(server);
	children_terminate(&server->children);
	ev_timer_start(loop, &server->exit_timer);
	clients_end(&server->clients);
}

static void
server_on_exit_timer(struct ev_loop *loop, struct ev_timer *timer, int revents)
{
	struct server *server = timer->data;

	(void)revents;
	clients_log_untaken(&server->clients);
	children_kill(&server->children);
	ev_break(loop, EVBREAK_ALL);
}

/* --- life --------------------------------------------------------------- */

/* As many as may be; some of them are for connections and evd's own work. */
static void
server_raise_nofile(struct server *server)
{
	struct rlimit limit;
	int end;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		fatal("getrlimit: RLIMIT_NOFILE: %s", strerror(errno));
	server->nofile = limit;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
		log_warning("setrlimit: RLIMIT_NOFILE: %s", strerror(errno));
		getrlimit(RLIMIT_NOFILE, &limit);
	}
	end = limit.rlim_cur > INT32_MAX ? INT32_MAX : (int)limit.rlim_cur;
	server->limits.fd_end = end -
	    (end / 4 < FDS_RESERVED ? end / 4 : FDS_RESERVED);
}

static void
server_set_limits(struct server *server, const struct server_options *options)
{
	struct limits *limits = &server->limits;

	limits_init(limits);
	for (int i = 0; i < LIMITS; i++) {
		if (options->uid_limits[i] > 0)
			limits->uid[i] = limits->session[i] =
			    options->uid_limits[i];
		if (options->session_limits[i] > 0)
			limits->session[i] = options->session_limits[i];
	}
}

static void
server_start_signal(struct server *server, struct ev_signal *signal, int signum)
{
	ev_signal_init(signal, server_on_signal, signum);
	signal->data = server;
	ev_signal_start(server->loop, signal);
}

static void
server_start_watchers(struct server *server)
{
	struct ev_loop *loop = server->loop;

	ev_prepare_init(&server->prepare, server_on_prepare);
	busy_init(&server->busy);
	ev_async_init(&server->nudge, server_on_nudge);
	ev_async_start(loop, &server->nudge);
	ev_set_userdata(loop, server);
	ev_set_loop_release_cb(loop, server_on_block, server_on_unblock);
	ev_init(&server->idle_timer, server_on_idle);
	ev_timer_init(&server->exit_timer, server_on_exit_timer, EXIT_GRACE_S,
	    0);
	server->prepare.data = server;
	server->idle_timer.data = server->exit_timer.data = server;
	/* Behind all that others do at the end of an iteration. */
	ev_set_priority(&server->prepare, EV_MINPRI);
	acceptor_start(&server->acceptor);
	ev_prepare_start(loop, &server->prepare);
	server_start_signal(server, &server->sigterm, SIGTERM);
	server_start_signal(server, &server->sigint, SIGINT);
	server_start_idle_timer(server);
}

/* Nobody is there any more: for a while, or for good. */
static void
server_on_last_gone(struct clients *clients)
{
	struct server *server = (struct server *)((char *)clients -
	    offsetof(struct server, clients));

	if (server->retired)
		log_notice("ending: the last client has gone");
	else if (!clients->exiting)
		server_start_idle_timer(server);
}

static void
server_init_clients(struct server *server, const struct server_options *options)
{
	server->clients = (struct clients){
		.context = &server->context,
		.config = {
			.registry = &server->registry,
			.loop = server->loop,
			.timelines = &server->timelines,
			.alarms = &server->alarms,
			.zones = &server->zones,
			.limits = &server->limits,
			.fdpoll = &server->fdpoll,
			.pidpoll = &server->pidpoll,
			.children = &server->children,
			.signals = &server->signals,
			.stats = &server->stats,
			.dirwatch = &server->dirwatch,
			.listener = &server->listener,
		},
		.hangups = &server->hangups,
		.pool = &server->pool,
		.no_paths = options->no_paths,
		.no_spawn = options->no_spawn,
		.on_last_gone = server_on_last_gone,
	};
	clients_init(&server->clients);
}

static int
server_listen(struct server *server, const struct server_options *options)
{
	return options->fd >= 0 ?
	    socket_adopt(&server->listener, options->fd) :
	    socket_listen(&server->listener, options->path, options->mode);
}

/* The first line of the log. */
static void
server_log_start(const struct server *server)
{
	char limits[256] = "";
	size_t at = 0;

	for (int i = 0; i < LIMITS && at < sizeof(limits); i++)
		at += snprintf(limits + at, sizeof(limits) - at,
		    "%s%" PRIu64 " %s", i == 0 ? "" : ", ",
		    server->limits.uid[i], limit_infos[i].name);
	log_notice("%s listening on %s%s, libev %d.%d with %s, a uid may have "
		   "%s",
	    PACKAGE_STRING, server->listener.path,
	    server->listener.adopted ? " (passed)" : "", ev_version_major(),
	    ev_version_minor(), backend_name(ev_backend(server->loop)), limits);
}

struct server *
server_new(const struct server_options *options)
{
	struct server *server = memory_zalloc(sizeof(*server));
	int err;

	if (server_listen(server, options) < 0) {
		free(server);
		return NULL;
	}
	server_set_limits(server, options);
	server_raise_nofile(server);
	server->loop = ev_loop_new(EVFLAG_NOENV);
	if (server->loop == NULL)
		fatal("libev has no backend that works here");
	err = fdpoll_init(&server->hangups, server->loop);
	if (err == 0)
		err = fdpoll_init(&server->fdpoll, server->loop);
	if (err == 0)
		err = pidpoll_init(&server->pidpoll, server->loop);
	if (err < 0)
		fatal("epoll_create1: %s", strerror(-err));
	err = signals_init(&server->signals, server->loop);
	if (err < 0)
		fatal("signalfd: %s", strerror(-err));
	wallclock_init(&server->clock, server->loop);
	children_init(&server->children, &server->clock, &server->pidpoll);
	server->children.nofile = server->nofile;
	server_init_acceptor(server);
	server->exit_idle = options->exit_idle;
	dirwatch_init(&server->dirwatch, server->loop);
	timelines_init(&server->timelines, &server->clock);
	alarms_init(&server->alarms, &server->clock);
	zones_init(&server->zones);
	server->stats.since = wallclock_monotonic(&server->clock);
	registry_init(&server->registry);
	server->context = (struct command_context){
		.loop = server->loop,
		.clock = &server->clock,
		.zones = &server->zones,
		.limits = &server->limits,
		.registry = &server->registry,
		.stats = &server->stats,
		.refusals = &server->refusals,
		.unsent = client_unsent,
		.gather = server_gather,
		.has_gathered = server_has_gathered,
	};
	message_init(&server->context.message);
	server_init_clients(server, options);
	server_start_watchers(server);
	service_start(&server->service, server->loop);
	return server;
}

void
server_run(struct server *server)
{
	server_log_start(server);
	ev_run(server->loop, 0);
}

void
server_free(struct server *server)
{
	server_stop_accepting(server);
	/* Its end starts no timer. */
	server->clients.exiting = true;
	clients_fini(&server->clients);
	registry_fini(&server->registry);
	message_fini(&server->context.message);
	children_fini(&server->children);
	refusals_fini(&server->refusals);
	service_fini(&server->service);
	limits_fini(&server->limits);
	buffer_pool_fini(&server->pool);
	ev_prepare_stop(server->loop, &server->prepare);
	ev_async_stop(server->loop, &server->nudge);
	ev_signal_stop(server->loop, &server->sigterm);
	ev_signal_stop(server->loop, &server->sigint);
	/* libev gives them their defaults back; evd ends already. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signals_fini(&server->signals);
	pidpoll_fini(&server->pidpoll);
	alarms_fini(&server->alarms);
	timelines_fini(&server->timelines);
	wallclock_fini(&server->clock);
	zones_fini(&server->zones);
	dirwatch_fini(&server->dirwatch);
	fdpoll_fini(&server->fdpoll);
	fdpoll_fini(&server->hangups);
	ev_loop_destroy(server->loop);
	socket_close(&server->listener);
	acceptor_fini(&server->acceptor);
	free(server);
}
