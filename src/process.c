#include "config.h"

#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"

/* Linux 6.13; the exit status 6.15.  Not in the headers of libc 2.36. */
struct pidfd_info {
	uint64_t mask;
	uint64_t cgroupid;
	uint32_t ids[11];
	int32_t exit_code;
};
#undef PIDFD_GET_INFO
#undef PIDFD_INFO_EXIT
#define PIDFD_GET_INFO	_IOWR(0xFF, 11, struct pidfd_info)
#define PIDFD_INFO_EXIT 8
_Static_assert(sizeof(struct pidfd_info) == 64, "as the kernel has it");

#ifndef PIDFD_SIGNAL_PROCESS_GROUP /* Linux 6.9 */
#define PIDFD_SIGNAL_PROCESS_GROUP 4
#endif

int
process_open(pid_t pid)
{
	int pidfd = pidfd_open(pid, 0);

	return pidfd < 0 ? -errno : pidfd;
}

bool
process_is_pidfd(int fd, pid_t *pid)
{
	char path[40], line[128];
	bool found = false;
	int n;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = fopen(path, "re");
	if (info == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), info) != NULL)
		found = sscanf(line, "Pid: %d", &n) == 1;
	fclose(info);
	if (found)
		*pid = n;
	return found;
}

bool
process_is_reaped(int pidfd)
{
	return process_signal(pidfd, 0) == -ESRCH;
}

int
process_status(int pidfd, int *status)
{
	struct pidfd_info info = { .mask = PIDFD_INFO_EXIT };

	if (ioctl(pidfd, PIDFD_GET_INFO, &info) < 0)
		return -errno;
	if (!(info.mask & PIDFD_INFO_EXIT))
		return -ENODATA;
	*status = info.exit_code;
	return 0;
}

int
process_signal(int pidfd, int signum)
{
	return pidfd_send_signal(pidfd, signum, NULL, 0) < 0 ? -errno : 0;
}

int
process_signal_group(int pidfd, int signum)
{
	return pidfd_send_signal(pidfd, signum, NULL,
		   PIDFD_SIGNAL_PROCESS_GROUP) < 0 ?
	    -errno :
	    0;
}

int
process_has_ended(int pidfd)
{
	struct pollfd pfd = { .fd = pidfd, .events = POLLIN };
	int n;

	do
		n = poll(&pfd, 1, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/*
 * Whose a process is, by its /proc.  The process is alive afterwards, so that
 * what was read was not another's with the same pid.  Returns 0, -EPERM, or
 * why that can't be said.
 */
static int
process_check_owner(int pidfd, pid_t pid, uid_t uid)
{
	struct stat st;
	char path[32];
	int ended;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (stat(path, &st) < 0)
		return errno == ENOENT ? -EPERM : -errno;
	ended = process_has_ended(pidfd);
	if (ended < 0)
		return ended;
	return st.st_uid == uid && !ended ? 0 : -EPERM;
}

int
process_get_fd(pid_t pid, int fd, uid_t uid)
{
	int pidfd = pidfd_open(pid, 0);
	int copy;

	if (pidfd < 0)
		return -errno;
	copy = process_check_owner(pidfd, pid, uid);
	if (copy == 0) {
		copy = pidfd_getfd(pidfd, fd, 0);
		if (copy < 0)
			copy = -errno;
	}
	close(pidfd);
	return copy;
}

/* --- the new process ------------------------------------------------------ */

/* What it tells the caller, through a pipe that a successful exec closes. */
struct process_fault {
	enum process_step step;
	int err;
};

/*
 * All that the new process uses; it shares the caller's memory and stack, so
 * it must not allocate, and what it changes stays changed.
 */
struct process_start {
	const struct process_spec *spec;
	char **programs; /* to be tried in order; ends with NULL */
	int report;	 /* the pipe */
};

static void __attribute__((noreturn))
child_fail(const struct process_start *start, enum process_step step)
{
	struct process_fault fault = { step, errno };
	ssize_t n = write(start->report, &fault, sizeof(fault));

	(void)n; /* the caller reads what there is */
	_exit(127);
}

/*
 * evd's own handlers would run in the caller's memory: before unblocking.  By
 * the kernel's own call, with its struct sigaction all zero (SIG_DFL, no flags,
 * an empty mask): libc keeps two numbers for itself, and evd may have been
 * started with these ignored.
 */
static void
child_reset_signals(void)
{
	static const unsigned long action[16];

	for (int signum = 1; signum < _NSIG; signum++)
		syscall(SYS_rt_sigaction, signum, action, NULL, _NSIG / 8);
}

static void
child_unblock_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Puts the three in their places; none of them stands in another's way. */
static int
child_place_descriptors(const int *fds)
{
	int high[3];

	for (int i = 0; i < 3; i++) {
		int fd = fds[i] >= 0 ? fds[i] :
				       open("/dev/null", O_RDWR | O_CLOEXEC);

		if (fd < 0)
			return -1;
		high[i] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (high[i] < 0)
			return -1;
	}
	for (int i = 0; i < 3; i++)
		if (dup2(high[i], i) < 0)
			return -1;
	/* Also what evd itself was started with and does not know. */
	return close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
}

/* The errors of one place that leave the next ones to be tried. */
static bool
child_goes_on(int err)
{
	return err == ENOENT || err == ENOTDIR || err == EACCES ||
	    err == ESTALE || err == ENODEV || err == ETIMEDOUT;
}

static void
child_exec(const struct process_start *start)
{
	bool denied = false;

	for (char **program = start->programs; *program != NULL; program++) {
		execve(*program, start->spec->argv, start->spec->env);
		denied |= errno == EACCES;
		if (!child_goes_on(errno))
			return;
	}
	if (denied)
		errno = EACCES;
}

static void __attribute__((noreturn)) child_run(struct process_start *start)
{
	const struct process_spec *spec = start->spec;

	child_reset_signals();
	start->report = fcntl(start->report, F_DUPFD_CLOEXEC, 3);
	if (setpgid(0, 0) < 0 || child_place_descriptors(spec->fds) < 0)
		child_fail(start, STEP_START);
	if (chdir(spec->cwd) < 0)
		child_fail(start, STEP_CWD);
	if (setrlimit(RLIMIT_NOFILE, &spec->nofile) < 0)
		child_fail(start, STEP_START);
	child_unblock_signals();
	child_exec(start);
	child_fail(start, STEP_EXEC);
}

/* --- the caller ----------------------------------------------------------- */

#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

static const char *
process_path(char *const *env)
{
	for (; *env != NULL; env++)
		if (strncmp(*env, "PATH=", 5) == 0)
			return *env + 5;
	return PATH_DEFAULT;
}

static char *
process_join(const char *directory, size_t len, const char *program)
{
	size_t size = len + strlen(program) + 2;
	char *path = memory_alloc(size);

	snprintf(path, size, "%.*s%s%s", (int)len, directory,
	    len > 0 ? "/" : "", program);
	return path;
}

/* Where the program may be; an empty place in PATH is the directory itself. */
static char **
process_programs(const struct process_spec *spec)
{
	const char *program = spec->argv[0];
	const char *path = process_path(spec->env);
	char **programs;
	size_t n = 2, i = 0;

	for (const char *p = path; *p != '\0'; p++)
		n += *p == ':';
	programs = memory_zalloc((n + 1) * sizeof(*programs));
	if (strchr(program, '/') != NULL || *program == '\0') {
		programs[0] = memory_strdup(program);
		return programs;
	}
	for (;;) {
		size_t len = strcspn(path, ":");

		programs[i++] = process_join(path, len, program);
		if (path[len] == '\0')
			return programs;
		path += len + 1;
	}
}

static void
process_free_programs(char **programs)
{
	for (char **program = programs; *program != NULL; program++)
		free(*program);
	free(programs);
}

/*
 * Not fork(2), which copies the page tables of a daemon that may hold a lot;
 * not posix_spawn(3), which can't do all that child_run() does.  The child
 * calls nothing but system calls until it is another program.
 */
static int
process_vfork(struct process_start *start, pid_t *pid)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	*pid = vfork();
	if (*pid == 0)
		child_run(start);
	err = *pid < 0 ? -errno : 0;
	sigprocmask(SIG_SETMASK, &before, NULL);
	return err;
}

static void
process_reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}

/* The start was reported as failed, or the pidfd can't be had: undo it. */
static int
process_finish(int report, struct process *process, enum process_step *step)
{
	struct process_fault fault;
	ssize_t n = read(report, &fault, sizeof(fault));
	int err;

	/* Its number goes to the pidfd, so that one is free. */
	close(report);
	if (n == sizeof(fault)) {
		process_reap(process->pid);
		*step = fault.step;
		return -fault.err;
	}
	process->pidfd = process_open(process->pid);
	if (process->pidfd >= 0)
		return 0;
	err = process->pidfd;
	kill(-process->pid, SIGKILL);
	process_reap(process->pid);
	return err;
}

int
process_spawn(const struct process_spec *spec, struct process *process,
    enum process_step *step)
{
	struct process_start start = { .spec = spec };
	int pipe_fds[2], err;

	*step = STEP_START;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	start.programs = process_programs(spec);
	start.report = pipe_fds[1];
	err = process_vfork(&start, &process->pid);
	process_free_programs(start.programs);
	close(pipe_fds[1]);
	if (err < 0) {
		close(pipe_fds[0]);
		return err;
	}
	return process_finish(pipe_fds[0], process, step);
}
