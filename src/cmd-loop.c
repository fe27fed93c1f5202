#include "config.h"

#include <ev.h>
#include <string.h>

#include "backend.h"
#include "command.h"
#include "pause.h"
#include "put.h"
#include "verify.h"

/* The verbs for the session as a loop. */

/* --- suspend, resume ------------------------------------------------------ */

static enum command_result
command_suspend_run(struct command_call *call)
{
	pause_begin(call->session);
	return COMMAND_DONE;
}

const struct command command_suspend = {
	.name = { "suspend", 7 },
	.run = command_suspend_run,
};

static bool
resume_step(struct command_context *context, struct session *s,
    struct command_deferred *deferred, struct buffer *b)
{
	(void)context;
	(void)deferred;
	(void)b;
	return pause_end(s);
}

static enum command_result
command_resume_run(struct command_call *call)
{
	if (pause_end(call->session))
		return COMMAND_DONE;
	return command_defer(call, resume_step);
}

const struct command command_resume = {
	.name = { "resume", 6 },
	.run = command_resume_run,
};

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
	const char *name = backend_name(number);

	put_key(b, "backend");
	buffer_puts(b, "{\"number\":");
	put_u64(b, number);
	put_key(b, "name");
	put_string(b, name, strlen(name));
	buffer_putc(b, '}');
}

struct loop_args {
	uint32_t given;
	double io_interval;
	double timeout_interval;
};

enum { LOOP_IO_INTERVAL, LOOP_TIMEOUT_INTERVAL };

static const struct param loop_params[] = {
	[LOOP_IO_INTERVAL] = PARAM("io_interval", PARAM_SECONDS,
	    struct loop_args, io_interval, .min = 0, .max = SECONDS_MAX),
	[LOOP_TIMEOUT_INTERVAL] = PARAM("timeout_interval", PARAM_SECONDS,
	    struct loop_args, timeout_interval, .min = 0, .max = SECONDS_MAX),
};

static void
loop_set(struct session *s, const struct loop_args *args)
{
	double *intervals = s->gather.intervals;

	if (args->given & PARAM_BIT(LOOP_IO_INTERVAL))
		intervals[GATHER_IO] = args->io_interval;
	if (args->given & PARAM_BIT(LOOP_TIMEOUT_INTERVAL))
		intervals[GATHER_TIMEOUT] = args->timeout_interval;
	session_gather(s);
}

static enum command_result
command_loop_run(struct command_call *call)
{
	struct session *s = call->session;
	struct buffer *b = call->out;

	loop_set(s, call->args);
	put_member(b, "iteration");
	put_u64(b, s->batches);
	put_key(b, "pending");
	put_u64(b, session_n_ready(s));
	/* No command is executed from within a watcher's callback. */
	put_key(b, "depth");
	put_u64(b, 0);
	put_backend(b, ev_backend(call->context->loop));
	put_key(b, "io_interval");
	put_double(b, s->gather.intervals[GATHER_IO]);
	put_key(b, "timeout_interval");
	put_double(b, s->gather.intervals[GATHER_TIMEOUT]);
	put_key(b, "refs");
	put_i64(b, s->refs);
	put_key(b, "suspended");
	buffer_append(b, s->suspended ? "true" : "false", s->suspended ? 4 : 5);
	return COMMAND_DONE;
}

const struct command command_loop = {
	.name = { "loop", 4 },
	.params = loop_params,
	.n_params = N_PARAMS(loop_params),
	.run = command_loop_run,
};
