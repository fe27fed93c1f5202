#ifndef EVD_COMMAND_H
#define EVD_COMMAND_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "account.h"
#include "buffer.h"
#include "fdqueue.h"
#include "message.h"
#include "param.h"
#include "refusal.h"
#include "session.h"
#include "stats.h"
#include "wallclock.h"

/*
 * The table of verbs.  An entry says which members a verb takes and what all
 * verbs would check; its handler does what is left and puts the members of
 * the result, for command_execute() has opened the reply.
 */
enum command_key { KEY_CMD, KEY_FDS, KEY_ID, KEY_TYPE, KEY_WATCHER, KEYS };

/* Members that are asked for by name: where they are in lines of a shape. */
struct command_places {
	uint64_t shape;
	ptrdiff_t at[KEYS]; /* -1: not there */
};

struct command_context {
	struct ev_loop *loop;
	struct wallclock *clock;
	struct zones *zones;
	struct limits *limits;
	struct registry *registry;
	struct stats *stats;
	struct refusals *refusals;
	/* Bytes that are written for a session, and not sent. */
	size_t (*unsent)(const struct session *);
	/* Makes all that is ready now fire. */
	uint64_t (*gather)(struct command_context *);
	/* Whether it has, what it gave a ticket for. */
	bool (*has_gathered)(const struct command_context *, uint64_t ticket);
	struct message message; /* the line that is being executed */
	struct param_plan plan; /* its members */
	struct command_places places;
};

/* A command whose reply takes more than one iteration of the loop. */
struct command_deferred {
	/* Returns true when it is done, and has put the result's members. */
	bool (*step)(struct command_context *, struct session *,
	    struct command_deferred *, struct buffer *);
	char id[JSON_SIZE_MAX];
	size_t id_len;
	bool quiet;
	uint64_t iteration; /* of the loop, when it was executed */
	uint64_t number;    /* the step's own */
	uint64_t count;	    /* the step's own */
	double time;	    /* the step's own */
};

struct command_call {
	struct command_context *context;
	struct session *session;
	struct watcher *watcher;	   /* found, where the verb names one */
	const struct watcher_class *class; /* of typed verbs */
	const void *args;
	const void *type_args; /* of typed verbs */
	/* What was passed along; -1 where somebody else owns it now. */
	int *fds;
	size_t n_fds;
	struct buffer *out;
	size_t mark; /* in out, before the reply */
	struct error *error;
	struct command_deferred **deferred; /* set by COMMAND_LATER */
};

enum command_result {
	COMMAND_ERROR = -1,
	COMMAND_DONE,
	COMMAND_LATER,
};

enum command_typed {
	UNTYPED,
	TYPED_BY_MEMBER,  /* also takes what the member `type` says */
	TYPED_BY_WATCHER, /* what the watcher's type takes */
};

struct command {
	struct slice name;
	const struct param *params;
	size_t n_params;
	enum right right;   /* that it needs */
	bool finds_watcher; /* args begin with struct watcher_args */
	enum command_typed typed;
	/* Returns 0, -1 with the error, or command_defer(). */
	enum command_result (*run)(struct command_call *);
};

/* Room for the args of any verb. */
#define COMMAND_ARGS_MAX 192

struct watcher_args {
	uint32_t given;
	struct name watcher;
};

#define WATCHER_PARAM(...) \
	PARAM("watcher", PARAM_NAME, struct watcher_args, watcher, __VA_ARGS__)

/* What an event that is pending, or was taken back, says so far. */
void put_pending(struct buffer *, const char *key, int revents,
    uint64_t overrun);
/* Of a watcher of any type: active, priority, options, pending, held. */
void put_watcher_state(struct buffer *, const struct watcher *);

/* The tables, in order of the protocol text; commands ends with NULL. */
extern const struct command *const commands[];
extern const struct param command_common_params[];
extern const size_t command_n_common_params;

/*
 * Executes one line, with the descriptors that it takes from the queue, and
 * puts its reply, if it has one.  COMMAND_LATER: it is in *deferred, which
 * command_continue() takes further; no other line of the connection may be
 * executed before that has returned COMMAND_DONE.
 */
enum command_result command_execute(struct command_context *, struct session *,
    struct command_deferred **, const struct line *, struct fdqueue *,
    struct buffer *out);
/* The reply to a line that was too long to be kept. */
void command_refuse_long_line(struct command_context *, uint64_t number,
    struct buffer *out);
/* Goes on with it, and puts its reply and frees it when it is done. */
enum command_result command_continue(struct command_context *, struct session *,
    struct command_deferred **, struct buffer *out);

/* For handlers: returns COMMAND_LATER, with *call->deferred set up. */
enum command_result command_defer(struct command_call *,
    bool (*step)(struct command_context *, struct session *,
	struct command_deferred *, struct buffer *));

#endif
