#include "config.h"

#include "server.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "command.h"
#include "connection.h"
#include "log.h"
#include "memory.h"
#include "session.h"

/*
 * The loop's iteration.  libev's callbacks only note what happened: a socket
 * is readable, a timer has fired.  Just before libev blocks again,
 * server_on_prepare() serves each client for which there is something to do,
 * once: lines in, commands, events out, one write.  Where more is left than
 * is fair for one iteration, an idle watcher keeps libev from blocking.
 */

/* What one iteration takes of a connection, and of new ones. */
#define LINES_MAX   256
#define BYTES_MAX   (64 * 1024)
#define ACCEPTS_MAX 64
/* Watchers that it frees, and holds that it ends. */
#define CHUNK 1000
/* Events are written, and commands read, while less than this is unsent. */
#define EVENTS_UNSENT_MAX   (64 * 1024)
#define COMMANDS_UNSENT_MAX (256 * 1024)
/* Descriptors that what clients pass leaves free. */
#define FDS_RESERVED 64
/* Between attempts to accept when the machine can't, in seconds. */
#define ACCEPT_PAUSE_S 0.1
/* For clients to take what is pending when the daemon ends, in seconds. */
#define EXIT_GRACE_S 1.0

struct client {
	struct connection connection; /* first */
	struct server *server;
	struct account account;	 /* where it is charged as a session */
	struct session *session; /* NULL: evd has said bye and closes */
	struct command_deferred *deferred;
	TAILQ_ENTRY(client) entry;
	TAILQ_ENTRY(client) work;
	size_t logged;	     /* bytes that are unsent and in the log */
	bool has_work;	     /* is in the list of those to serve */
	unsigned int served; /* the iteration in which it was, last */
};

TAILQ_HEAD(client_list, client);

struct server {
	struct command_context context; /* first */
	struct ev_loop *loop;
	struct wallclock clock;
	struct zones zones;
	struct limits limits;
	struct session_registry registry;
	struct fdpoll hangups; /* of half-closed peers */
	struct fdpoll fdpoll;  /* what clients have passed */
	struct pidpoll pidpoll;
	struct children children;
	struct signals signals;
	struct stats stats;
	struct dirwatch dirwatch;
	struct buffer_pool pool;
	struct socket_listener listener;
	int reserve;	      /* a descriptor to close when there are no more */
	struct rlimit nofile; /* as evd found it */

	struct ev_io acceptor;
	struct ev_prepare prepare;
	struct ev_idle busy;
	struct ev_signal sigterm, sigint;
	struct ev_timer pause_timer; /* of accepting */
	struct ev_timer idle_timer;
	struct ev_timer exit_timer;
	double exit_idle;
	bool no_paths, no_spawn; /* as the options */

	struct client_list clients;
	struct client_list work;
	struct session_list dying;
	size_t n_clients;
	bool exiting; /* a signal: all are told, and closed */
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

/* --- clients ------------------------------------------------------------ */

static void
client_wake(struct client *c)
{
	if (c->has_work)
		return;
	c->has_work = true;
	TAILQ_INSERT_TAIL(&c->server->work, c, work);
}

static void
client_on_ready(struct connection *connection)
{
	client_wake((struct client *)connection);
}

static void
client_on_work(struct session *session)
{
	client_wake(session->owner);
}

static void
client_end_session(struct client *c)
{
	if (c->session == NULL)
		return;
	fdqueue_fini(&c->connection.fds);
	session_end(c->session);
	TAILQ_INSERT_TAIL(&c->server->dying, c->session, entry);
	c->session = NULL;
	free(c->deferred);
	c->deferred = NULL;
}

static void
client_free(struct client *c)
{
	struct server *server = c->server;

	client_end_session(c);
	if (c->has_work)
		TAILQ_REMOVE(&server->work, c, work);
	TAILQ_REMOVE(&server->clients, c, entry);
	connection_fini(&c->connection);
	account_fini(&c->account);
	free(c);
	if (--server->n_clients > 0)
		return;
	if (server->retired)
		log_notice("ending: the last client has gone");
	else if (!server->exiting)
		server_start_idle_timer(server);
}

/* Takes the descriptor. */
static void
client_new(struct server *server, int fd)
{
	struct client *c = memory_zalloc(sizeof(*c));
	struct session_config config = {
		.registry = &server->registry,
		.loop = server->loop,
		.clock = &server->clock,
		.zones = &server->zones,
		.limits = &server->limits,
		.fdpoll = &server->fdpoll,
		.pidpoll = &server->pidpoll,
		.children = &server->children,
		.signals = &server->signals,
		.stats = &server->stats,
		.dirwatch = &server->dirwatch,
		.on_work = client_on_work,
		.owner = c,
	};
	struct error error;

	c->server = server;
	connection_init(&c->connection, fd, server->loop, &server->hangups,
	    &server->pool, &server->stats);
	c->connection.peer.no_paths = server->no_paths;
	c->connection.peer.no_spawn = server->no_spawn;
	c->connection.on_ready = client_on_ready;
	TAILQ_INSERT_TAIL(&server->clients, c, entry);
	server->n_clients++;
	ev_timer_stop(server->loop, &server->idle_timer);

	config.peer = &c->connection.peer;
	account_init(&c->account, &server->limits, config.peer->uid);
	if (account_charge(&c->account, LIMIT_SESSIONS, 1, &error) < 0) {
		log_notice("refused pid %d of uid %u: %s",
		    (int)c->connection.peer.pid,
		    (unsigned)c->connection.peer.uid, error.message);
		message_bye(&c->connection.out, "limit-exceeded",
		    error.message);
		client_wake(c);
		return;
	}
	c->session = session_new(&config);
	fdqueue_init(&c->connection.fds, &c->session->account);
	log_debug("%s: connected, pid %d, uid %u", c->session->name,
	    (int)c->connection.peer.pid, (unsigned)c->connection.peer.uid);
}

/* evd's last word; the connection is closed when the peer has taken it. */
static void
client_bye(struct client *c, const char *reason)
{
	message_bye(&c->connection.out, reason, NULL);
	client_end_session(c);
}

/* --- serving a client --------------------------------------------------- */

static void
client_execute(struct client *c, const struct line *line)
{
	char shown[256];

	log_debug("pid %d: < %s", (int)c->connection.peer.pid,
	    log_escape(shown, sizeof(shown), line->p, line->len));
	command_execute(&c->server->context, c->session, &c->deferred, line,
	    &c->connection.fds, &c->connection.out);
}

/* Whether commands may be executed now. */
static bool
client_takes_lines(const struct client *c)
{
	return c->session != NULL && c->deferred == NULL &&
	    !c->server->exiting &&
	    buffer_len(&c->connection.out) < COMMANDS_UNSENT_MAX;
}

static void
client_run_lines(struct client *c)
{
	struct line line;
	size_t bytes = 0;

	for (int n = 0;
	     n < LINES_MAX && bytes < BYTES_MAX && client_takes_lines(c); n++) {
		enum line_state state = connection_next_line(&c->connection,
		    &line);

		if (state == LINE_NONE)
			break;
		if (state == LINE_TOO_LONG)
			command_refuse_long_line(&c->server->context,
			    line.number, &c->connection.out);
		else
			client_execute(c, &line);
		bytes += line.len;
	}
}

static void
client_read(struct client *c)
{
	if (client_takes_lines(c)) {
		connection_fill(&c->connection);
		/* What it asks for counts from now, not from when we woke. */
		if (connection_has_line(&c->connection))
			wallclock_update(&c->server->clock);
	}
	client_run_lines(c);
	connection_rest(&c->connection);
	if (c->session != NULL && c->deferred == NULL &&
	    connection_is_drained(&c->connection))
		session_end_input(c->session);
}

static void
client_resume(struct client *c)
{
	if (c->deferred != NULL)
		command_resume(&c->server->context, c->session, &c->deferred,
		    &c->connection.out);
}

/* At debug level, each line before it is sent. */
static void
client_log_output(struct client *c)
{
	const struct buffer *out = &c->connection.out;
	const char *p, *end, *lf;
	char shown[256];

	if (!log_wants(LEVEL_DEBUG) || buffer_len(out) <= c->logged)
		return;
	p = buffer_data(out) + c->logged;
	end = buffer_data(out) + buffer_len(out);
	for (; p < end; p = lf + 1) {
		lf = memchr(p, '\n', end - p);
		log_debug("pid %d: > %s", (int)c->connection.peer.pid,
		    log_escape(shown, sizeof(shown), p, lf - p));
	}
}

static void
client_write(struct client *c)
{
	struct buffer *out = &c->connection.out;
	struct session *s = c->session;

	if (s != NULL) {
		if (s->input_ended)
			session_drop_holds(s, CHUNK);
		client_resume(c);
		session_write_events(s, out, EVENTS_UNSENT_MAX);
		client_resume(c);
		if (s->finished)
			client_bye(c, "end");
		else if (c->server->exiting && !session_has_ready(s))
			client_bye(c, "exit");
	}
	client_log_output(c);
	connection_flush(&c->connection);
	c->logged = buffer_len(out);
}

/* Nothing is left to be done for it. */
static bool
client_is_done(struct client *c)
{
	struct connection *connection = &c->connection;

	if (connection->gone)
		return c->session == NULL || c->server->exiting ||
		    c->session->input_ended;
	if (buffer_len(&connection->out) > 0)
		return false;
	return c->session == NULL ||
	    (c->deferred == NULL && session_is_over(c->session));
}

/* There is something to do that waits for nobody. */
static bool
client_is_busy(struct client *c)
{
	struct connection *connection = &c->connection;
	struct session *s = c->session;

	if (s == NULL)
		return false;
	if (client_takes_lines(c) &&
	    (connection_has_line(connection) ||
		(connection->eof ? !s->input_ended : connection->readable)))
		return true;
	if (s->input_ended && !TAILQ_EMPTY(&s->held))
		return true;
	if (buffer_len(&connection->out) >= EVENTS_UNSENT_MAX)
		return false;
	return c->deferred != NULL || session_has_ready(s);
}

static void
client_serve(struct client *c)
{
	struct server *server = c->server;

	c->served = ev_iteration(server->loop);
	client_read(c);
	client_write(c);
	if (client_is_done(c)) {
		if (!c->connection.gone)
			connection_discard(c->connection.fd, &server->pool);
		client_free(c);
	} else if (client_is_busy(c)) {
		client_wake(c);
	}
}

/* --- the iteration ------------------------------------------------------ */

static void
server_serve_clients(struct server *server)
{
	unsigned int iteration = ev_iteration(server->loop);
	struct client_list later = TAILQ_HEAD_INITIALIZER(later);
	struct client *c;

	while ((c = TAILQ_FIRST(&server->work)) != NULL) {
		TAILQ_REMOVE(&server->work, c, work);
		if (c->served == iteration) {
			TAILQ_INSERT_TAIL(&later, c, work);
			continue;
		}
		c->has_work = false;
		client_serve(c);
	}
	TAILQ_CONCAT(&server->work, &later, work);
}

static void
server_free_dying(struct server *server, size_t budget)
{
	struct session *s;

	while (budget > 0 && (s = TAILQ_FIRST(&server->dying)) != NULL) {
		TAILQ_REMOVE(&server->dying, s, entry);
		if (!session_free_some(s, &budget))
			TAILQ_INSERT_HEAD(&server->dying, s, entry);
	}
}

/* All are served, and no child is left that is to end with its session. */
static bool
server_is_done(const struct server *server)
{
	return (server->exiting || server->retired) && server->n_clients == 0 &&
	    TAILQ_EMPTY(&server->dying) &&
	    !children_are_ending(&server->children);
}

static void
server_on_prepare(struct ev_loop *loop, struct ev_prepare *prepare, int revents)
{
	struct server *server = prepare->data;

	(void)revents;
	server_serve_clients(server);
	server_free_dying(server, CHUNK);
	if (TAILQ_EMPTY(&server->work) && TAILQ_EMPTY(&server->dying)) {
		ev_idle_stop(loop, &server->busy);
		server->stats.wakeups++;
	} else {
		ev_idle_start(loop, &server->busy);
	}
	if (server_is_done(server))
		ev_break(loop, EVBREAK_ALL);
}

/* It is there so that libev does not block. */
static void
server_on_busy(struct ev_loop *loop, struct ev_idle *busy, int revents)
{
	(void)loop;
	(void)busy;
	(void)revents;
}

static size_t
server_unsent(const struct session *session)
{
	const struct client *c = session->owner;

	return buffer_len(&c->connection.out);
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

/*
 * There is no descriptor for it: use the one kept for saying so.  Returns
 * false if there was nobody after all, or no way to say it.
 */
static bool
server_refuse(struct server *server)
{
	struct buffer out;
	int fd;

	close(server->reserve);
	fd = accept4(server->listener.fd, NULL, NULL,
	    SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0) {
		buffer_init(&out, &server->pool);
		message_bye(&out, "limit-exceeded",
		    "the daemon has no descriptor left");
		send(fd, buffer_data(&out), buffer_len(&out),
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		buffer_fini(&out);
		connection_discard(fd, &server->pool);
		close(fd);
	}
	server->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		log_warning("refused a connection: the daemon has no "
			    "descriptor left");
	return fd >= 0;
}

/* Accepting fails for reasons of the machine's: not again at once. */
static void
server_pause_accepting(struct server *server)
{
	if (server->exiting || server->retired)
		return;
	ev_io_stop(server->loop, &server->acceptor);
	ev_timer_again(server->loop, &server->pause_timer);
}

static void
server_on_pause_over(struct ev_loop *loop, struct ev_timer *timer, int revents)
{
	struct server *server = timer->data;

	(void)revents;
	ev_timer_stop(loop, timer);
	ev_io_start(loop, &server->acceptor);
}

/* Returns false when there is nobody left to accept. */
static bool
server_accept_one(struct server *server)
{
	int fd = accept4(server->listener.fd, NULL, NULL,
	    SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0) {
		client_new(server, fd);
		return true;
	}
	switch (errno) {
	case EMFILE:
	case ENFILE:
		if (server_refuse(server))
			return true;
		server_pause_accepting(server);
		return false;
	case EINTR:
	case ECONNABORTED:
		return true;
	case EAGAIN:
	case EINVAL: /* retired */
		return false;
	default:
		log_error("accept: %s", strerror(errno));
		server_pause_accepting(server);
		return false;
	}
}

static void
server_on_accept(struct ev_loop *loop, struct ev_io *acceptor, int revents)
{
	(void)loop;
	(void)revents;
	for (int i = 0; i < ACCEPTS_MAX; i++)
		if (!server_accept_one(acceptor->data))
			break;
}

/* --- the end ------------------------------------------------------------ */

static void
server_stop_accepting(struct server *server)
{
	ev_io_stop(server->loop, &server->acceptor);
	ev_timer_stop(server->loop, &server->pause_timer);
	ev_timer_stop(server->loop, &server->idle_timer);
	socket_retire(&server->listener);
}

/* Whoever connected before the socket was gone is served to the end. */
static void
server_on_idle(struct ev_loop *loop, struct ev_timer *timer, int revents)
{
	struct server *server = timer->data;

	(void)revents;
	server_stop_accepting(server);
	server->retired = true;
	while (server_accept_one(server))
		continue;
	if (server->n_clients == 0)
		log_notice("ending: no client for %g s", server->exit_idle);
}

static void
server_on_signal(struct ev_loop *loop, struct ev_signal *signal, int revents)
{
	struct server *server = signal->data;
	struct client *c;

	(void)revents;
	if (server->exiting)
		return;
	log_notice("ending: %s", strsignal(signal->signum));
	server->exiting = true;
	server_stop_accepting(server);
	children_terminate(&server->children);
	ev_timer_start(loop, &server->exit_timer);
	TAILQ_FOREACH(c, &server->clients, entry)
		client_wake(c);
}

static size_t
client_untaken(const struct client *c)
{
	return c->session == NULL ?
	    0 :
	    c->session->sets[0].n + c->session->sets[1].n;
}

static void
server_on_exit_timer(struct ev_loop *loop, struct ev_timer *timer, int revents)
{
	struct server *server = timer->data;
	size_t events = 0, bytes = 0;
	struct client *c;

	(void)revents;
	TAILQ_FOREACH(c, &server->clients, entry) {
		events += client_untaken(c);
		bytes += buffer_len(&c->connection.out);
	}
	if (server->n_clients > 0)
		log_notice("%zu clients did not take %zu events and %zu bytes "
			   "more",
		    server->n_clients, events, bytes);
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

	ev_io_init(&server->acceptor, server_on_accept, server->listener.fd,
	    EV_READ);
	ev_prepare_init(&server->prepare, server_on_prepare);
	ev_idle_init(&server->busy, server_on_busy);
	ev_timer_init(&server->pause_timer, server_on_pause_over, 0,
	    ACCEPT_PAUSE_S);
	ev_init(&server->idle_timer, server_on_idle);
	ev_timer_init(&server->exit_timer, server_on_exit_timer, EXIT_GRACE_S,
	    0);
	server->acceptor.data = server->prepare.data = server;
	server->pause_timer.data = server->idle_timer.data = server;
	server->exit_timer.data = server;
	/* Behind all that others do at the end of an iteration. */
	ev_set_priority(&server->prepare, EV_MINPRI);
	ev_io_start(loop, &server->acceptor);
	ev_prepare_start(loop, &server->prepare);
	server_start_signal(server, &server->sigterm, SIGTERM);
	server_start_signal(server, &server->sigint, SIGINT);
	server_start_idle_timer(server);
}

struct server *
server_new(const struct server_options *options)
{
	struct server *server = memory_zalloc(sizeof(*server));
	int err;

	if (socket_listen(&server->listener, options->path, options->mode) <
	    0) {
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
	children_init(&server->children, server->loop, &server->pidpoll);
	server->children.nofile = server->nofile;
	server->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (server->reserve < 0)
		fatal("/dev/null: %s", strerror(errno));
	server->exit_idle = options->exit_idle;
	server->no_paths = options->no_paths;
	server->no_spawn = options->no_spawn;
	TAILQ_INIT(&server->clients);
	TAILQ_INIT(&server->work);
	TAILQ_INIT(&server->dying);
	dirwatch_init(&server->dirwatch, server->loop);
	wallclock_init(&server->clock, server->loop);
	zones_init(&server->zones);
	server->stats.since = wallclock_monotonic(&server->clock);
	session_registry_init(&server->registry);
	server->context = (struct command_context){
		.loop = server->loop,
		.clock = &server->clock,
		.zones = &server->zones,
		.limits = &server->limits,
		.registry = &server->registry,
		.stats = &server->stats,
		.unsent = server_unsent,
		.gather = server_gather,
		.has_gathered = server_has_gathered,
	};
	message_init(&server->context.message);
	server_start_watchers(server);
	log_notice("%s listening on %s, libev %d.%d, backend %u",
	    PACKAGE_STRING, options->path, ev_version_major(),
	    ev_version_minor(), ev_backend(server->loop));
	return server;
}

void
server_run(struct server *server)
{
	ev_run(server->loop, 0);
}

void
server_free(struct server *server)
{
	struct client *c;

	server_stop_accepting(server);
	while ((c = TAILQ_FIRST(&server->clients)) != NULL)
		client_free(c);
	server_free_dying(server, SIZE_MAX);
	session_registry_fini(&server->registry);
	message_fini(&server->context.message);
	children_fini(&server->children);
	limits_fini(&server->limits);
	buffer_pool_fini(&server->pool);
	ev_prepare_stop(server->loop, &server->prepare);
	ev_signal_stop(server->loop, &server->sigterm);
	ev_signal_stop(server->loop, &server->sigint);
	signals_fini(&server->signals);
	pidpoll_fini(&server->pidpoll);
	wallclock_fini(&server->clock);
	zones_fini(&server->zones);
	dirwatch_fini(&server->dirwatch);
	fdpoll_fini(&server->fdpoll);
	fdpoll_fini(&server->hangups);
	ev_loop_destroy(server->loop);
	socket_close(&server->listener);
	close(server->reserve);
	free(server);
}
