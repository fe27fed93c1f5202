#include "config.h"

#include "put.h"
#include "watcher.h"

/*
 * A signal to the daemon, as libev's ev_signal, and one that a client of the
 * same session feeds; with `fed` that one alone, which is then a matter of
 * the session's own.
 */
struct signal {
	struct watcher base;
	struct signal_watch watch;
};

enum { SIGNAL_SIGNUM, SIGNAL_FED };

struct signal_args {
	uint32_t given;
	int signum;
	bool fed;
};

static const struct param signal_params[] = {
	[SIGNAL_SIGNUM] = PARAM("signum", PARAM_SIGNAL, struct signal_args,
	    signum),
	[SIGNAL_FED] = PARAM("fed", PARAM_BOOL, struct signal_args, fed),
};

static void
signal_on_signal(struct signal_watch *watch, uint64_t times)
{
	struct signal *s = (struct signal *)((char *)watch -
	    offsetof(struct signal, watch));
	bool once = s->base.once;

	watcher_fired(&s->base);
	if (!once)
		s->base.overrun += times - 1;
}

static int
signal_set(struct watcher *w, const void *values, bool fresh,
    struct error *error)
{
	struct signal *s = (struct signal *)w;
	const struct signal_args *args = values;
	int signum = args->given & PARAM_BIT(SIGNAL_SIGNUM) ? args->signum :
							      s->watch.signum;
	bool fed = args->given & PARAM_BIT(SIGNAL_FED) ? args->fed :
							 s->watch.fed;
	const char *why_not;

	if (signum == 0)
		return error_set(error, ERROR_INVALID_ARGUMENT,
		    "member \"signum\" is missing, expected a signal: its "
		    "number, or its name as \"USR1\" or \"RTMIN+1\"");
	why_not = fed ? NULL : signals_refuse(signum);
	if (why_not != NULL)
		return error_set(error, ERROR_INVALID_ARGUMENT,
		    "member \"signum\" is %d, %s; expected another one, or "
		    "\"fed\" beside it",
		    signum, why_not);
	s->watch.signum = signum;
	s->watch.fed = fed;
	if (fresh)
		s->watch.on_signal = signal_on_signal;
	return 0;
}

static int
signal_start(struct watcher *w, struct error *error)
{
	struct signal *s = (struct signal *)w;
	struct watcher_host *host = w->host;
	int err;

	if (host->fed == NULL)
		host->fed = signals_set_new();
	err = signals_add(host->signals, host->fed, &s->watch);
	if (err == 0)
		return 0;
	return error_set_system(error, -err, "signal %d can't be watched",
	    s->watch.signum);
}

static void
signal_stop(struct watcher *w)
{
	struct signal *s = (struct signal *)w;

	signals_del(w->host->signals, w->host->fed, &s->watch);
}

static void
signal_put_event(const struct watcher *w, struct buffer *b)
{
	const struct signal *s = (const struct signal *)w;

	put_key(b, "signum");
	put_i64(b, s->watch.signum);
}

static void
signal_put_state(const struct watcher *w, struct buffer *b)
{
	const struct signal *s = (const struct signal *)w;

	signal_put_event(w, b);
	if (s->watch.fed)
		buffer_puts(b, ",\"fed\":true");
}

const struct watcher_class signal_class = {
	.name = { "signal", 6 },
	.revents = EV_SIGNAL,
	.size = sizeof(struct signal),
	.params = signal_params,
	.n_params = sizeof(signal_params) / sizeof(signal_params[0]),
	.right = RIGHT_FULL,
	.harmless = PARAM_BIT(SIGNAL_FED),
	.set = signal_set,
	.start = signal_start,
	.stop = signal_stop,
	.put_event = signal_put_event,
	.put_state = signal_put_state,
};
