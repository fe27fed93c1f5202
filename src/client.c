#include "config.h"

#include "client.h"

#include <ev.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "command.h"
#include "connection.h"
#include "log.h"
#include "memory.h"
#include "pause.h"

/*
 * What one iteration takes of a connection.  Fewer lines cost the one that
 * writes them little, and the others wait for them: 256 made a quiet client's
 * median 8 times what it is alone, 64 makes it 2.2 times.
 */
#define LINES_MAX 64
#define BYTES_MAX (64 * 1024)
/* Watchers that it frees, and holds that it ends. */
#define CHUNK 1000
/* Events are written, and commands read, while less than this is unsent. */
#define EVENTS_UNSENT_MAX   (64 * 1024)
#define COMMANDS_UNSENT_MAX (256 * 1024)

struct client {
	struct connection connection; /* first */
	struct clients *all;
	struct account account;	 /* where it is charged as a session */
	struct session *session; /* NULL: evd has said bye and closes */
	struct command_deferred *deferred;
	TAILQ_ENTRY(client) entry;
	TAILQ_ENTRY(client) work;
	size_t logged;	     /* bytes that are unsent and in the log */
	bool has_work;	     /* is in the list of those to serve */
	unsigned int served; /* the iteration in which it was, last */
};

/* --- life ---------------------------------------------------------------- */

static void
client_wake(struct client *c)
{
	if (c->has_work)
		return;
	c->has_work = true;
	TAILQ_INSERT_TAIL(&c->all->work, c, work);
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
client_log(const struct client *c, const char *what)
{
	const char *name = c->session->id.name;
	char session[256], who[PEER_SHOWN_SIZE];

	if (!log_wants(LEVEL_DEBUG))
		return;
	log_debug("%s: %s, %s",
	    log_escape(session, sizeof(session), name, strlen(name)), what,
	    peer_show(&c->connection.peer, who));
}

static void
client_end_session(struct client *c)
{
	if (c->session == NULL)
		return;
	client_log(c, "ended");
	fdqueue_fini(&c->connection.fds);
	session_end(c->session);
	TAILQ_INSERT_TAIL(&c->all->dying, c->session, entry);
	c->session = NULL;
	free(c->deferred);
	c->deferred = NULL;
}

static void
client_free(struct client *c)
{
	struct clients *all = c->all;

	client_end_session(c);
	if (c->has_work)
		TAILQ_REMOVE(&all->work, c, work);
	TAILQ_REMOVE(&all->list, c, entry);
	connection_fini(&c->connection);
	account_fini(&c->account);
	free(c);
	if (--all->n == 0)
		all->on_last_gone(all);
}

void
client_new(struct clients *all, int fd)
{
	struct client *c = memory_zalloc(sizeof(*c));
	struct session_config config = all->config;
	struct error error;

	c->all = all;
	connection_init(&c->connection, fd, config.loop, all->hangups,
	    all->pool, config.stats);
	c->connection.peer.no_paths = all->no_paths;
	c->connection.peer.no_spawn = all->no_spawn;
	c->connection.on_ready = client_on_ready;
	TAILQ_INSERT_TAIL(&all->list, c, entry);
	all->n++;

	config.peer = &c->connection.peer;
	config.on_work = client_on_work;
	config.owner = c;
	account_init(&c->account, config.limits, config.peer->uid);
	if (account_charge(&c->account, LIMIT_SESSIONS, 1, &error) < 0) {
		refusal_log_error(all->context->refusals, config.peer,
		    wallclock_monotonic(all->context->clock), &error);
		message_bye(&c->connection.out, "limit-exceeded",
		    error.message);
		client_wake(c);
		return;
	}
	c->session = session_new(&config);
	fdqueue_init(&c->connection.fds, &c->session->account);
	client_log(c, "connected");
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
	command_execute(c->all->context, c->session, &c->deferred, line,
	    &c->connection.fds, &c->connection.out);
}

/* Whether commands may be executed now. */
static bool
client_takes_lines(const struct client *c)
{
	return c->session != NULL && c->deferred == NULL && !c->all->exiting &&
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
			command_refuse_long_line(c->all->context, line.number,
			    &c->connection.out);
		else
			client_execute(c, &line);
		bytes += line.len;
	}
}

static void
client_read(struct client *c)
{
	if (client_takes_lines(c)) {
		if (!connection_has_line(&c->connection))
			connection_fill(&c->connection);
		/* What it asks for counts from now, not from when we woke. */
		if (connection_has_line(&c->connection))
			wallclock_update(c->all->context->clock);
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
		command_continue(c->all->context, c->session, &c->deferred,
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
		if (s->input_ended || c->all->exiting)
			pause_end(s);
		if (s->input_ended)
			session_drop_holds(s, CHUNK);
		s->at_once |= c->all->exiting;
		client_resume(c);
		batch_write_events(s, out, EVENTS_UNSENT_MAX);
		client_resume(c);
		if (s->finished)
			client_bye(c, "end");
		else if (c->all->exiting && !batch_has_ready(s))
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
		return c->session == NULL || c->all->exiting ||
		    c->session->input_ended;
	if (buffer_len(&connection->out) > 0)
		return false;
	return c->session == NULL ||
	    (c->deferred == NULL && batch_was_last(c->session));
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
	if (s->suspended && (s->input_ended || c->all->exiting))
		return true;
	if (buffer_len(&connection->out) >= EVENTS_UNSENT_MAX)
		return false;
	return c->deferred != NULL || batch_has_work(s);
}

static void
client_serve(struct client *c)
{
	c->served = ev_iteration(c->connection.loop);
	client_read(c);
	client_write(c);
	if (client_is_done(c)) {
		if (!c->connection.gone)
			connection_discard(c->connection.fd, c->all->pool);
		client_free(c);
	} else if (client_is_busy(c)) {
		client_wake(c);
	}
}

/* --- all of them --------------------------------------------------------- */

void
clients_init(struct clients *all)
{
	TAILQ_INIT(&all->list);
	TAILQ_INIT(&all->work);
	TAILQ_INIT(&all->dying);
}

static void
clients_serve_work(struct clients *all)
{
	unsigned int iteration = ev_iteration(all->config.loop);
	struct client_list later = TAILQ_HEAD_INITIALIZER(later);
	struct client *c;

	while ((c = TAILQ_FIRST(&all->work)) != NULL) {
		TAILQ_REMOVE(&all->work, c, work);
		if (c->served == iteration) {
			TAILQ_INSERT_TAIL(&later, c, work);
			continue;
		}
		c->has_work = false;
		client_serve(c);
	}
	TAILQ_CONCAT(&all->work, &later, work);
}

static void
clients_free_dying(struct clients *all, size_t budget)
{
	struct session *s;

	while (budget > 0 && (s = TAILQ_FIRST(&all->dying)) != NULL) {
		TAILQ_REMOVE(&all->dying, s, entry);
		if (!session_free_some(s, &budget))
			TAILQ_INSERT_HEAD(&all->dying, s, entry);
	}
}

bool
clients_serve(struct clients *all)
{
	clients_serve_work(all);
	clients_free_dying(all, CHUNK);
	return !TAILQ_EMPTY(&all->work) || !TAILQ_EMPTY(&all->dying);
}

void
clients_end(struct clients *all)
{
	struct client *c;

	all->exiting = true;
	TAILQ_FOREACH(c, &all->list, entry)
		client_wake(c);
}

size_t
client_unsent(const struct session *session)
{
	const struct client *c = session->owner;

	return buffer_len(&c->connection.out);
}

static size_t
client_untaken(const struct client *c)
{
	return c->session == NULL ? 0 : session_n_ready(c->session);
}

void
clients_log_untaken(const struct clients *all)
{
	size_t events = 0, bytes = 0;
	struct client *c;

	TAILQ_FOREACH(c, &all->list, entry) {
		events += client_untaken(c);
		bytes += buffer_len(&c->connection.out);
	}
	if (all->n > 0)
		log_notice("%zu clients did not take %zu events and %zu bytes "
			   "more",
		    all->n, events, bytes);
}

void
clients_fini(struct clients *all)
{
	struct client *c;

	while ((c = TAILQ_FIRST(&all->list)) != NULL)
		client_free(c);
	clients_free_dying(all, SIZE_MAX);
}
