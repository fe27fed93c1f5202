#include "config.h"

#include "children.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "feature.h"
#include "log.h"
#include "memory.h"

/* Stops and the like that one call takes. */
#define CHUNK 1000

/* --- telling -------------------------------------------------------------- */

static void
child_tell(struct child *child, const struct child_change *change)
{
	struct child_observer *observer, *next;

	for (observer = TAILQ_FIRST(&child->observers); observer != NULL;
	     observer = next) {
		next = TAILQ_NEXT(observer, entry);
		if (change->ended)
			child_unobserve(observer);
		observer->on_change(observer, change);
	}
}

/* The status as wait(2) has it, which waitid(2) takes apart. */
static int
child_wait_status(const siginfo_t *info)
{
	switch (info->si_code) {
	case CLD_EXITED:
		return (info->si_status & 0xff) << 8;
	case CLD_DUMPED:
		return info->si_status | 0x80;
	case CLD_STOPPED:
	case CLD_TRAPPED:
		return (info->si_status & 0xff) << 8 | 0x7f;
	case CLD_CONTINUED:
		return 0xffff;
	}
	return info->si_status;
}

/* --- the end -------------------------------------------------------------- */

static struct account *
child_account(struct child *child)
{
	return child->set != NULL ? child->set->account : &child->own;
}

static void
child_free(struct child *child)
{
	struct children *all = child->children;

	pidpoll_del(&child->item);
	close(child->pidfd);
	if (!child->ended)
		table_remove(&all->by_pid, &child->node);
	TAILQ_REMOVE(&all->list, child, entry);
	if (child->state == CHILD_TERMINATED)
		TAILQ_REMOVE(&all->grace, child, grace_entry);
	account_discharge(child_account(child), LIMIT_CHILDREN, 1);
	if (child->set != NULL) {
		TAILQ_REMOVE(&child->set->list, child, set_entry);
		child->set->n--;
	} else {
		account_fini(&child->own);
	}
	free(child);
}

/* keep: it stays a zombie, and its number its own. */
static struct child_change
child_wait(struct child *child, bool keep)
{
	struct child_change change = { .ended = true };
	siginfo_t info = { .si_pid = 0 };

	if (waitid(P_PIDFD, child->pidfd, &info,
		WEXITED | WNOHANG | (keep ? WNOWAIT : 0)) == 0 &&
	    info.si_pid != 0) {
		change.known = true;
		change.status = child_wait_status(&info);
	} else {
		log_error("waitid: child %d: %s", (int)child->pid,
		    strerror(errno));
	}
	child->reaped = !keep;
	return change;
}

/* Its group may have other members, which have time until the deadline. */
static bool
child_group_is_over(const struct child *child)
{
	if (child->state != CHILD_TERMINATED)
		return true;
	return child->reaped && process_signal_group(child->pidfd, 0) == -ESRCH;
}

static void
child_on_ended(struct pidpoll_item *item)
{
	struct child *child = (struct child *)item;
	bool keep = child->state == CHILD_TERMINATED &&
	    !feature_enabled(FEATURE_PIDFD_GROUP);
	struct child_change change = child_wait(child, keep);

	child->ended = true;
	table_remove(&child->children->by_pid, &child->node);
	child_tell(child, &change);
	if (child_group_is_over(child))
		child_free(child);
}

/* --- termination ---------------------------------------------------------- */

/* Its number is its own while it is not reaped. */
static int
child_signal_group(const struct child *child, int signum)
{
	if (child->reaped)
		return process_signal_group(child->pidfd, signum);
	return kill(-child->pid, signum) < 0 ? -errno : 0;
}

static void
children_start_timer(struct children *all)
{
	const struct child *first = TAILQ_FIRST(&all->grace);

	ev_timer_stop(all->loop, &all->timer);
	if (first == NULL)
		return;
	ev_timer_set(&all->timer,
	    first->deadline - wallclock_monotonic(all->clock), 0);
	ev_timer_start(all->loop, &all->timer);
}

/* A stopped one is continued, or it could not end. */
static void
child_terminate(struct child *child)
{
	struct children *all = child->children;
	int err;

	if (child->state != CHILD_RUNNING)
		return;
	err = child_signal_group(child, SIGTERM);
	if (err == 0)
		err = child_signal_group(child, SIGCONT);
	if (err < 0)
		log_warning("child %d: SIGTERM: %s", (int)child->pid,
		    strerror(-err));
	child->state = CHILD_TERMINATED;
	child->deadline = wallclock_monotonic(all->clock) + CHILD_GRACE_S;
	TAILQ_INSERT_TAIL(&all->grace, child, grace_entry);
	children_start_timer(all);
}

static void
child_kill(struct child *child)
{
	int err = child_signal_group(child, SIGKILL);

	if (err < 0 && err != -ESRCH)
		log_warning("child %d: SIGKILL: %s", (int)child->pid,
		    strerror(-err));
	child->state = CHILD_KILLED;
	TAILQ_REMOVE(&child->children->grace, child, grace_entry);
	if (!child->ended)
		return;
	if (!child->reaped)
		child_wait(child, false);
	child_free(child);
}

static void
children_on_timer(struct ev_loop *loop, struct ev_timer *timer, int revents)
{
	struct children *all = timer->data;
	struct child *child;

	(void)loop;
	(void)revents;
	while ((child = TAILQ_FIRST(&all->grace)) != NULL &&
	    child->deadline <= wallclock_monotonic(all->clock))
		child_kill(child);
	children_start_timer(all);
}

void
children_terminate(struct children *all)
{
	struct child *child;

	TAILQ_FOREACH(child, &all->list, entry)
		if (child->kill)
			child_terminate(child);
}

void
children_kill(struct children *all)
{
	struct child *child;

	while ((child = TAILQ_FIRST(&all->grace)) != NULL)
		child_kill(child);
}

bool
children_are_ending(const struct children *all)
{
	return !TAILQ_EMPTY(&all->grace);
}

/* --- all ------------------------------------------------------------------ */

void
children_gather(struct children *all)
{
	for (int i = 0; i < CHUNK; i++) {
		struct child_change change = { .known = true };
		siginfo_t info = { .si_pid = 0 };
		struct child *child;

		if (waitid(P_ALL, 0, &info, WSTOPPED | WCONTINUED | WNOHANG) <
			0 ||
		    info.si_pid == 0)
			return;
		child = children_find(all, info.si_pid);
		change.status = child_wait_status(&info);
		if (child != NULL)
			child_tell(child, &change);
	}
	/* There may be more: again in the next iteration. */
	raise(SIGCHLD);
}

static void
children_on_sigchld(struct ev_loop *loop, struct ev_signal *signal, int revents)
{
	(void)loop;
	(void)revents;
	children_gather(signal->data);
}

void
children_init(struct children *all, const struct wallclock *clock,
    struct pidpoll *pidpoll)
{
	*all = (struct children){ .loop = clock->loop,
		.clock = clock,
		.pidpoll = pidpoll };
	table_init(&all->by_pid);
	TAILQ_INIT(&all->list);
	TAILQ_INIT(&all->grace);
	ev_init(&all->timer, children_on_timer);
	/* Were it ignored, as it may be inherited, statuses would be lost. */
	ev_signal_init(&all->sigchld, children_on_sigchld, SIGCHLD);
	all->timer.data = all->sigchld.data = all;
	ev_signal_start(all->loop, &all->sigchld);
}

void
children_fini(struct children *all)
{
	struct child *child;

	while ((child = TAILQ_FIRST(&all->list)) != NULL)
		child_free(child);
	ev_timer_stop(all->loop, &all->timer);
	ev_signal_stop(all->loop, &all->sigchld);
	table_fini(&all->by_pid);
}

static bool
child_match(const struct table_node *node, const void *key)
{
	const struct child *child = (const struct child *)((const char *)node -
	    offsetof(struct child, node));

	return child->pid == *(const pid_t *)key;
}

struct child *
children_find(const struct children *all, pid_t pid)
{
	struct table_node *node = table_find(&all->by_pid, (uint32_t)pid,
	    child_match, &pid);

	return node == NULL ?
	    NULL :
	    (struct child *)((char *)node - offsetof(struct child, node));
}

/* --- of one session ------------------------------------------------------- */

void
children_set_init(struct children_set *set, struct children *all,
    struct account *account)
{
	*set = (struct children_set){ .all = all, .account = account };
	TAILQ_INIT(&set->list);
	LIST_INIT(&set->watches);
}

/* It outlives its session: from now on it has an account of its own. */
static void
child_leave_set(struct child *child)
{
	struct children_set *set = child->set;
	struct account *own = &child->own;
	struct error error;

	TAILQ_REMOVE(&set->list, child, set_entry);
	set->n--;
	child->set = NULL;
	account_init(own, set->account->limits, account_uid(set->account));
	account_discharge(set->account, LIMIT_CHILDREN, 1);
	/* There is room: it was given back just now. */
	if (account_charge(own, LIMIT_CHILDREN, 1, &error) < 0)
		log_error("child %d: %s", (int)child->pid, error.message);
	if (child->kill)
		child_terminate(child);
}

bool
children_set_end(struct children_set *set, size_t *budget)
{
	struct child *child;

	while ((child = TAILQ_FIRST(&set->list)) != NULL) {
		if (*budget == 0)
			return false;
		(*budget)--;
		child_leave_set(child);
	}
	return true;
}

void
children_set_watch(struct children_set *set, struct children_watch *watch)
{
	LIST_INSERT_HEAD(&set->watches, watch, entry);
	set->n_watches++;
}

void
children_set_unwatch(struct children_set *set, struct children_watch *watch)
{
	LIST_REMOVE(watch, entry);
	set->n_watches--;
}

/* --- one child ------------------------------------------------------------ */

/* Whether the pidfd will leave the room that others need: before it is had. */
static int
child_check_room(const struct children_set *set, struct error *error)
{
	int fd = fcntl(set->all->pidpoll->poll.fd, F_DUPFD_CLOEXEC, 0);
	int err = errno, result;

	if (fd < 0)
		return error_set_system(error, err,
		    "the process can't be started");
	result = account_check_fd(set->account, fd, error);
	close(fd);
	return result;
}

static int
child_charge(struct children_set *set, struct error *error)
{
	size_t room = set->n_watches * CHILD_ROOM_SIZE;

	if (account_charge(set->account, LIMIT_CHILDREN, 1, error) < 0)
		return -1;
	if (account_charge(set->account, LIMIT_BYTES, room, error) < 0) {
		account_discharge(set->account, LIMIT_CHILDREN, 1);
		return -1;
	}
	return 0;
}

static void
child_discharge(struct children_set *set)
{
	account_discharge(set->account, LIMIT_BYTES,
	    set->n_watches * CHILD_ROOM_SIZE);
	account_discharge(set->account, LIMIT_CHILDREN, 1);
}

static int
child_start(const struct process_spec *spec, struct process *process,
    struct error *error)
{
	char found[EXCERPT_SIZE];
	enum process_step step;
	int err = process_spawn(spec, process, &step);

	if (err == 0)
		return 0;
	switch (step) {
	case STEP_START:
		return error_set_system(error, -err,
		    "the process can't be started");
	case STEP_CWD:
		return error_set_system(error, -err,
		    "member \"cwd\" is \"%s\", where the program can't be "
		    "started",
		    message_excerpt(found,
			(struct slice){ spec->cwd, strlen(spec->cwd) }));
	case STEP_EXEC:
		break;
	}
	return error_set_system(error, -err,
	    "member \"argv\" begins with \"%s\", which can't be executed",
	    message_excerpt(found,
		(struct slice){ spec->argv[0], strlen(spec->argv[0]) }));
}

static struct child *
child_new(struct children_set *set, const struct process *process, bool kill)
{
	struct children *all = set->all;
	struct child *child = memory_zalloc(sizeof(*child));

	child->children = all;
	child->set = set;
	child->pid = process->pid;
	child->pidfd = process->pidfd;
	child->number = ++all->last;
	child->kill = kill;
	child->item.item.fd = -1;
	child->item.on_done = child_on_ended;
	TAILQ_INIT(&child->observers);
	TAILQ_INSERT_TAIL(&all->list, child, entry);
	TAILQ_INSERT_TAIL(&set->list, child, set_entry);
	set->n++;
	table_insert(&all->by_pid, &child->node, (uint32_t)child->pid);
	return child;
}

struct child *
child_spawn(struct children_set *set, struct process_spec *spec, bool to_kill,
    struct error *error)
{
	struct children_watch *watch, *next;
	struct process process;
	struct child *child;
	int err;

	spec->nofile = set->all->nofile;
	if (child_check_room(set, error) < 0 || child_charge(set, error) < 0)
		return NULL;
	if (child_start(spec, &process, error) < 0) {
		child_discharge(set);
		return NULL;
	}
	child = child_new(set, &process, to_kill);
	err = pidpoll_add(set->all->pidpoll, &child->item, child->pidfd,
	    UNTIL_ENDED);
	if (err < 0) {
		kill(-child->pid, SIGKILL);
		waitid(P_PIDFD, child->pidfd, NULL, WEXITED);
		account_discharge(set->account, LIMIT_BYTES,
		    set->n_watches * CHILD_ROOM_SIZE);
		child_free(child);
		error_set_system(error, -err, "the process can't be polled");
		return NULL;
	}
	for (watch = LIST_FIRST(&set->watches); watch != NULL; watch = next) {
		next = LIST_NEXT(watch, entry);
		watch->on_spawn(watch, child);
	}
	return child;
}

void
child_observe(struct child *child, struct child_observer *observer)
{
	observer->child = child;
	TAILQ_INSERT_TAIL(&child->observers, observer, entry);
}

void
child_unobserve(struct child_observer *observer)
{
	if (observer->child == NULL)
		return;
	TAILQ_REMOVE(&observer->child->observers, observer, entry);
	observer->child = NULL;
}

int
child_signal(struct child *child, int signum, bool group)
{
	if (group)
		return child_signal_group(child, signum);
	return process_signal(child->pidfd, signum);
}
