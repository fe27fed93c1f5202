#ifndef EVD_PROCESS_H
#define EVD_PROCESS_H

#include <sys/types.h>

/* Other processes, by descriptors that can't mean another one later. */

/*
 * A copy of a process's descriptor, if the process belongs to uid.  Returns it
 * (close-on-exec) or a negative errno: -ESRCH there is no such process, -EPERM
 * it is another's or not to be looked into, -EBADF it has no such descriptor,
 * -ENOSYS a kernel before 5.6.
 */
int process_get_fd(pid_t pid, int fd, uid_t uid);

#endif
