#ifndef EVD_CHILDREN_H
#define EVD_CHILDREN_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "account.h"
#include "pidpoll.h"
#include "process.h"
#include "table.h"
#include "wallclock.h"

/*
 * The programs that evd has started.  A child belongs to the set of the
 * session that asked for it; it is evd's until evd has reaped it, which is as
 * soon as it has ended, and then its struct is gone.
 *
 * When its session ends, a child is left alone or terminated: SIGTERM to its
 * process group, and SIGKILL after CHILD_GRACE_S to what is left of the group.
 * So that the group's number can't be another's by then, its leader, if it
 * ends first, stays a zombie; or where the kernel can signal a group by pidfd,
 * it is reaped, and a group that has no more members is over at once.
 */
#define CHILD_GRACE_S 5.0

struct child;

/* What has become of a child: it ended, or as traced: stopped, continued. */
struct child_change {
	bool ended;
	bool known; /* the status is */
	int status; /* as wait(2) has it */
};

struct child_observer {
	struct child *child; /* NULL: of none, or it has ended */
	TAILQ_ENTRY(child_observer) entry;
	/* May remove the observer and free it.  An end is the last change. */
	void (*on_change)(struct child_observer *, const struct child_change *);
};

TAILQ_HEAD(child_observers, child_observer);

enum child_state {
	CHILD_RUNNING,
	CHILD_TERMINATED, /* SIGTERM was sent, SIGKILL is to follow */
	CHILD_KILLED,
};

struct child {
	struct pidpoll_item item; /* first */
	struct table_node node;	  /* by pid, until it has ended */
	struct children *children;
	struct children_set *set; /* NULL: its session has ended */
	struct account own;	  /* then: where it is charged */
	TAILQ_ENTRY(child) entry; /* of all */
	TAILQ_ENTRY(child) set_entry;
	TAILQ_ENTRY(child) grace_entry;
	struct child_observers observers;
	pid_t pid;	 /* of the process, and of its group */
	int pidfd;	 /* owned */
	uint64_t number; /* never reused */
	enum child_state state;
	double deadline; /* CHILD_TERMINATED: CLOCK_MONOTONIC */
	bool kill;	 /* when its session ends */
	bool ended;
	bool reaped;
};

TAILQ_HEAD(child_list, child);

/* All children of the daemon. */
struct children {
	struct ev_loop *loop;
	const struct wallclock *clock; /* borrowed */
	struct pidpoll *pidpoll;       /* borrowed */
	struct ev_signal sigchld;
	struct ev_timer timer; /* the next deadline */
	struct table by_pid;
	struct child_list list;
	struct child_list grace; /* CHILD_TERMINATED, by deadline */
	struct rlimit nofile;	 /* for children, as evd found it */
	uint64_t last;		 /* number given */
};

void children_init(struct children *, const struct wallclock *,
    struct pidpoll *);
/* Children that are left live on. */
void children_fini(struct children *);

/* Borrowed; NULL if no child of that pid runs, or is yet to be reaped. */
struct child *children_find(const struct children *, pid_t);

/* Terminates all that are to end with their session: the daemon ends. */
void children_terminate(struct children *);
/* And kills at once what is left of those. */
void children_kill(struct children *);
/* Whether a child was terminated that is not over, and not killed. */
bool children_are_ending(const struct children *);

/* Tells what has stopped or was continued; pidpoll tells of ends. */
void children_gather(struct children *);

/* --- of one session ------------------------------------------------------- */

/*
 * Whoever wants to know all children of a set: told of each that is started,
 * and then an observer of it.  The room for that is taken by the start.
 */
struct children_watch {
	LIST_ENTRY(children_watch) entry;
	void (*on_spawn)(struct children_watch *, struct child *);
};

/* What on_spawn() may keep for a child, which is charged already. */
#define CHILD_ROOM_SIZE 128

struct children_set {
	struct children *all;
	struct account *account;
	struct child_list list; /* by set_entry */
	size_t n;
	LIST_HEAD(, children_watch) watches;
	size_t n_watches;
};

void children_set_init(struct children_set *, struct children *,
    struct account *);
/*
 * The session has ended: takes up to *budget children, and takes their number
 * from it.  Returns true when the set is empty.
 */
bool children_set_end(struct children_set *, size_t *budget);

void children_set_watch(struct children_set *, struct children_watch *);
void children_set_unwatch(struct children_set *, struct children_watch *);

/* --- one child ------------------------------------------------------------ */

/*
 * Starts a program; the spec's nofile is filled in here.  Returns it, borrowed,
 * or NULL with the error.
 */
struct child *child_spawn(struct children_set *, struct process_spec *,
    bool kill, struct error *);

void child_observe(struct child *, struct child_observer *);
/* Does nothing for an observer of none. */
void child_unobserve(struct child_observer *);

/* To the process, or all of its group.  Returns 0 or a negative errno. */
int child_signal(struct child *, int signum, bool group);

#endif
