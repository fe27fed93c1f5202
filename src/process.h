#ifndef EVD_PROCESS_H
#define EVD_PROCESS_H

#include <stdbool.h>
#include <sys/resource.h>
#include <sys/types.h>

/* Other processes, by descriptors that can't mean another one later. */

/* A pidfd (close-on-exec), or a negative errno: -ESRCH there is none. */
int process_open(pid_t);

/*
 * Whether a descriptor is a pidfd, and of which process; *pid is 0 or negative
 * where that can't be told: in another pid namespace, or reaped already.
 */
bool process_is_pidfd(int fd, pid_t *pid);

/* Whether its parent has reaped it, so that nothing is left of it. */
bool process_is_reaped(int pidfd);

/* 1: it has, be it reaped or not; 0: it is alive; or a negative errno. */
int process_has_ended(int pidfd);

/*
 * How a process that was reaped has ended, as wait(2) has it.  Returns 0, or a
 * negative errno where the kernel does not tell.
 */
int process_status(int pidfd, int *status);

/* Returns 0 or a negative errno. */
int process_signal(int pidfd, int signum);

/*
 * The same for the process group that it leads or led; with signal 0 only to
 * see whether it has members (-ESRCH: none).  Also when the leader was
 * reaped: the number may be another's then, the pidfd is not.  -EINVAL before
 * Linux 6.9.
 */
int process_signal_group(int pidfd, int signum);

/*
 * A copy of a process's descriptor, if the process belongs to uid.  Returns it
 * (close-on-exec) or a negative errno: -ESRCH there is no such process, -EPERM
 * it is another's or not to be looked into, -EBADF it has no such descriptor,
 * -ENOSYS a kernel before 5.6.
 */
int process_get_fd(pid_t pid, int fd, uid_t uid);

/* --- starting a program --------------------------------------------------- */

struct process_spec {
	char *const *argv; /* the program by PATH of env, if without a slash */
	char *const *env;  /* "NAME=value"; ends with NULL, as argv */
	const char *cwd;
	int fds[3];	      /* borrowed; -1: /dev/null */
	struct rlimit nofile; /* evd has raised its own */
};

/* What a start can fail at. */
enum process_step {
	STEP_START, /* a process, its descriptors and limits */
	STEP_CWD,
	STEP_EXEC,
};

struct process {
	pid_t pid;
	int pidfd; /* the caller's */
};

/*
 * Starts a program in a process group of its own, with all signals at their
 * default and unblocked, and with no descriptor but the three.  Neither
 * memory nor page tables are copied: the caller stands still until the new
 * program runs, or could not be.  Returns 0, or a negative errno and the step.
 */
int process_spawn(const struct process_spec *, struct process *,
    enum process_step *);

#endif
