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

/* --- lists ---------------------------------------------------------------- */

static void
list_init(struct signal_list *list)
{
	*list = (struct signal_list){ 0 };
	TAILQ_INIT(&list->nodes);
}

/* Not of a signal that has come already. */
static void
list_add(struct signal_list *list, struct signal_node *node,
    struct signal_watch *watch)
{
	node->watch = watch;
	node->round = list->round + (list->more > 0);
	TAILQ_INSERT_TAIL(&list->nodes, node, entry);
}

static void
list_del(struct signal_list *list, struct signal_node *node)
{
	if (list->next == node)
		list->next = TAILQ_NEXT(node, entry);
	TAILQ_REMOVE(&list->nodes, node, entry);
}

static void
list_begin(struct signal_list *list)
{
	list->round++;
	list->times = list->more;
	list->more = 0;
	list->next = TAILQ_FIRST(&list->nodes);
}

/* Goes on with the round, and begins another one if that is due. */
static size_t
list_tell(struct signal_list *list, size_t n)
{
	while (n > 0 && (list->next != NULL || list->more > 0)) {
		struct signal_node *node;

		if (list->next == NULL)
			list_begin(list);
		node = list->next;
		if (node == NULL)
			continue;
		list->next = TAILQ_NEXT(node, entry);
		n--;
		if (node->round < list->round)
			node->watch->on_signal(node->watch, list->times);
	}
	return n;
}

static bool
list_is_told(const struct signal_list *list)
{
	return list->next == NULL && list->more == 0;
}

/* --- the daemon's --------------------------------------------------------- */

static bool
signals_are_told(const struct signals *signals)
{
	for (int i = 1; i <= SIGNALS_MAX; i++)
		if (!list_is_told(&signals->lists[i]))
			return false;
	return true;
}

static void
signals_tell(struct signals *signals, size_t n)
{
	for (int i = 1; i <= SIGNALS_MAX && n > 0; i++)
		n = list_tell(&signals->lists[i], n);
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
			signals->lists[infos[i].ssi_signo].more++;
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
		list_init(&signals->lists[i]);
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

struct signals_set *
signals_set_new(void)
{
	struct signals_set *set = memory_alloc(sizeof(*set));

	for (int i = 0; i <= SIGNALS_MAX; i++)
		list_init(&set->lists[i]);
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
		list_add(&signals->lists[signum], &watch->of_all, watch);
	}
	list_add(&set->lists[signum], &watch->of_set, watch);
	return 0;
}

void
signals_del(struct signals *signals, struct signals_set *set,
    struct signal_watch *watch)
{
	if (!watch->fed)
		list_del(&signals->lists[watch->signum], &watch->of_all);
	list_del(&set->lists[watch->signum], &watch->of_set);
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
	set->lists[signum].more = 1;
}

bool
signals_feed_some(struct signals_set *set, int signum, size_t n)
{
	list_tell(&set->lists[signum], n);
	return list_is_told(&set->lists[signum]);
}
