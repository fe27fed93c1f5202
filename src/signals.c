#include "config.h"

#include "signals.h"

#include <errno.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "log.h"
#include "memory.h"

/* Watchers that one iteration of the loop tells. */
#define CHUNK 1000
/* Signals that are read at once. */
#define READ_MAX 64

/* --- the daemon's --------------------------------------------------------- */

static bool
signals_are_told(const struct signals *signals)
{
	for (int i = 1; i <= SIGNALS_MAX; i++)
		if (!listeners_are_told(&signals->lists[i]))
			return false;
	return true;
}

static void
signals_tell(struct signals *signals, size_t n)
{
	for (int i = 1; i <= SIGNALS_MAX && n > 0; i++)
		n = listeners_tell(&signals->lists[i], n);
	ev_timer_stop(signals->loop, &signals->timer);
	if (signals_are_told(signals))
		return;
	/* In the next iteration. */
	ev_timer_set(&signals->timer, 0, 0);
	ev_timer_start(signals->loop, &signals->timer);
}

/* Returns true if there may be more. */
static bool
signals_read(struct signals *signals)
{
	struct signalfd_siginfo infos[READ_MAX];
	ssize_t n = read(signals->fd, infos, sizeof(infos));

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		log_error("signalfd: %s", strerror(errno));
	for (ssize_t i = 0; i < n / (ssize_t)sizeof(*infos); i++)
		if (infos[i].ssi_signo <= SIGNALS_MAX)
			listeners_call(&signals->lists[infos[i].ssi_signo], 1);
	return n == sizeof(infos);
}

static void
signals_on_readable(struct ev_loop *loop, struct ev_io *reader, int revents)
{
	struct signals *signals = reader->data;

	(void)loop;
	if (revents & EV_ERROR)
		fatal("epoll_ctl: there is no room to wait for signals");
	signals_read(signals);
	signals_tell(signals, CHUNK);
}

static void
signals_on_timer(struct ev_loop *loop, struct ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	signals_tell(timer->data, CHUNK);
}

int
signals_init(struct signals *signals, struct ev_loop *loop)
{
	*signals = (struct signals){ .loop = loop };
	for (int i = 0; i <= SIGNALS_MAX; i++)
		listeners_init(&signals->lists[i]);
	sigemptyset(&signals->mask);
	signals->fd = signalfd(-1, &signals->mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals->fd < 0)
		return -errno;
	ev_io_init(&signals->reader, signals_on_readable, signals->fd, EV_READ);
	ev_init(&signals->timer, signals_on_timer);
	signals->reader.data = signals->timer.data = signals;
	ev_io_start(loop, &signals->reader);
	return 0;
}

void
signals_fini(struct signals *signals)
{
	ev_io_stop(signals->loop, &signals->reader);
	ev_timer_stop(signals->loop, &signals->timer);
	close(signals->fd);
}

/* Has the signal from now on. */
static int
signals_have(struct signals *signals, int signum)
{
	sigset_t mask = signals->mask;
	sigset_t one;

	if (sigismember(&signals->mask, signum))
		return 0;
	sigaddset(&mask, signum);
	if (signalfd(signals->fd, &mask, 0) < 0)
		return -errno;
	signals->mask = mask;
	sigemptyset(&one);
	sigaddset(&one, signum);
	sigprocmask(SIG_BLOCK, &one, NULL);
	return 0;
}

const char *
signals_refuse(int signum)
{
	switch (signum) {
	case SIGTERM:
	case SIGINT:
		return "which ends evd";
	case SIGCHLD:
		return "by which evd knows of its own children";
	case SIGKILL:
	case SIGSTOP:
		return "which no program can watch";
	case SIGABRT:
	case SIGBUS:
	case SIGFPE:
	case SIGILL:
	case SIGSEGV:
	case SIGSYS:
	case SIGTRAP:
		return "which means a fault of evd's own";
	case SIGQUIT:
		return "which makes evd dump its core";
	case SIGPIPE:
		return "which evd itself causes by writing";
	}
	return NULL;
}

/* --- watches -------------------------------------------------------------- */

static void
signal_watch_on_any(struct listener *listener, uint64_t times)
{
	struct signal_watch *watch = (struct signal_watch *)((char *)listener -
	    offsetof(struct signal_watch, of_all));

	watch->on_signal(watch, times);
}

static void
signal_watch_on_fed(struct listener *listener, uint64_t times)
{
	struct signal_watch *watch = (struct signal_watch *)((char *)listener -
	    offsetof(struct signal_watch, of_set));

	watch->on_signal(watch, times);
}

struct signals_set *
signals_set_new(void)
{
	struct signals_set *set = memory_alloc(sizeof(*set));

	for (int i = 0; i <= SIGNALS_MAX; i++)
		listeners_init(&set->lists[i]);
	return set;
}

int
signals_add(struct signals *signals, struct signals_set *set,
    struct signal_watch *watch)
{
	int signum = watch->signum;

	if (!watch->fed) {
		int err = signals_have(signals, signum);

		if (err < 0)
			return err;
		watch->of_all.on_told = signal_watch_on_any;
		listeners_add(&signals->lists[signum], &watch->of_all);
	}
	watch->of_set.on_told = signal_watch_on_fed;
	listeners_add(&set->lists[signum], &watch->of_set);
	return 0;
}

void
signals_del(struct signals *signals, struct signals_set *set,
    struct signal_watch *watch)
{
	if (!watch->fed)
		listeners_del(&signals->lists[watch->signum], &watch->of_all);
	listeners_del(&set->lists[watch->signum], &watch->of_set);
}

void
signals_gather(struct signals *signals)
{
	while (signals_read(signals))
		continue;
	signals_tell(signals, SIZE_MAX);
}

void
signals_feed(struct signals_set *set, int signum)
{
	listeners_call(&set->lists[signum], 1);
}

bool
signals_feed_some(struct signals_set *set, int signum, size_t n)
{
	listeners_tell(&set->lists[signum], n);
	return listeners_are_told(&set->lists[signum]);
}
