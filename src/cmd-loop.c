#include "config.h"

#include <ev.h>
#include <string.h>

#include "command.h"
#include "put.h"
#include "verify.h"

/* The verbs for the session as a loop. */

/* --- ref, unref ----------------------------------------------------------- */

static void
put_refs(struct buffer *b, const struct session *s)
{
	put_member(b, "refs");
	put_i64(b, s->refs);
}

static enum command_result
command_ref_run(struct command_call *call)
{
	call->session->refs++;
	put_refs(call->out, call->session);
	return COMMAND_DONE;
}

const struct command command_ref = {
	.name = { "ref", 3 },
	.run = command_ref_run,
};

static enum command_result
command_unref_run(struct command_call *call)
{
	call->session->refs--;
	put_refs(call->out, call->session);
	return COMMAND_DONE;
}

const struct command command_unref = {
	.name = { "unref", 5 },
	.run = command_unref_run,
};

/* --- verify --------------------------------------------------------------- */

/* Watchers that are checked in one go: the loop is everybody's. */
#define VERIFY_CHUNK 1000

static bool
verify_step(struct command_context *context, struct session *s,
    struct command_deferred *deferred, struct buffer *b)
{
	(void)deferred;
	(void)b;
	if (!verify_some(s, VERIFY_CHUNK))
		return false;
#ifdef EVD_DEBUG
	ev_verify(context->loop);
#else
	(void)context;
#endif
	return true;
}

static enum command_result
command_verify_run(struct command_call *call)
{
	verify_begin(call->session);
	if (verify_step(call->context, call->session, NULL, call->out))
		return COMMAND_DONE;
	return command_defer(call, verify_step);
}

const struct command command_verify = {
	.name = { "verify", 6 },
	.run = command_verify_run,
};

/* --- loop ----------------------------------------------------------------- */

static void
put_backend(struct buffer *b, unsigned int number)
{
	static const struct {
		unsigned int number;
		const char *name;
	} backends[] = {
		{ EVBACKEND_SELECT, "select" },
		{ EVBACKEND_POLL, "poll" },
		{ EVBACKEND_EPOLL, "epoll" },
		{ EVBACKEND_LINUXAIO, "linuxaio" },
		{ EVBACKEND_IOURING, "io_uring" },
	};
	const char *name = "unknown";

	for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++)
		if (backends[i].number == number)
			name = backends[i].name;
	put_key(b, "backend");
	buffer_puts(b, "{\"number\":");
	put_u64(b, number);
	put_key(b, "name");
	put_string(b, name, strlen(name));
	buffer_putc(b, '}');
}

static enum command_result
command_loop_run(struct command_call *call)
{
	const struct session *s = call->session;
	struct buffer *b = call->out;

	put_member(b, "iteration");
	put_u64(b, s->batches);
	put_key(b, "pending");
	put_u64(b, session_n_ready(s));
	/* No command is executed from within a watcher's callback. */
	put_key(b, "depth");
	put_u64(b, 0);
	put_backend(b, ev_backend(call->context->loop));
	put_key(b, "refs");
	put_i64(b, s->refs);
	return COMMAND_DONE;
}

const struct command command_loop = {
	.name = { "loop", 4 },
	.run = command_loop_run,
};
