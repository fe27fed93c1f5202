#include "config.h"

#include "process.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Whose a process is, by its /proc.  The process is alive afterwards, so that
 * what was read was not another's with the same pid.
 */
static bool
process_belongs_to(int pidfd, pid_t pid, uid_t uid)
{
	struct pollfd pfd = { .fd = pidfd, .events = POLLIN };
	struct stat st;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	return stat(path, &st) == 0 && st.st_uid == uid &&
	    poll(&pfd, 1, 0) == 0;
}

int
process_get_fd(pid_t pid, int fd, uid_t uid)
{
	int pidfd = pidfd_open(pid, 0);
	int copy;

	if (pidfd < 0)
		return -errno;
	if (process_belongs_to(pidfd, pid, uid)) {
		copy = pidfd_getfd(pidfd, fd, 0);
		if (copy < 0)
			copy = -errno;
	} else {
		copy = -EPERM;
	}
	close(pidfd);
	return copy;
}
