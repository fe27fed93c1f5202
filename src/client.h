#ifndef EVD_CLIENT_H
#define EVD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "buffer.h"
#include "command.h"
#include "fdpoll.h"
#include "session.h"

/*
 * A client is a connection and its session, paired: lines in, commands, events
 * out.  What happens to either only notes that there is work; once an
 * iteration each client that has some is served, with one write.
 */
struct client;

TAILQ_HEAD(client_list, client);

/* All of them, and what they share. */
struct clients {
	/* The owner's to set; pointers are borrowed. */
	struct command_context *context;
	struct session_config config; /* but for what differs for each */
	struct fdpoll *hangups;
	struct buffer_pool *pool;
	bool no_paths, no_spawn; /* as the options */
	void (*on_last_gone)(struct clients *);

	struct client_list list;
	struct client_list work;
	struct session_list dying; /* whose clients are gone */
	size_t n;
	bool exiting; /* all are told, and closed */
};

void clients_init(struct clients *);
/* Closes all connections, and frees all sessions. */
void clients_fini(struct clients *);

/* Takes the descriptor. */
void client_new(struct clients *, int fd);

/*
 * Serves each client that has work, once, as far as is fair.  Returns whether
 * there is more to do that waits for nobody.
 */
bool clients_serve(struct clients *);

/* From now on: what is pending, bye, and the end. */
void clients_end(struct clients *);
/* What they have not taken, when the time for that is over. */
void clients_log_untaken(const struct clients *);

/* Bytes that are written for a session, and not sent. */
size_t client_unsent(const struct session *);

#endif
