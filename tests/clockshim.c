/*
 * A wall clock that tests can set, for a program that runs with this in
 * LD_PRELOAD and uses libev.  Nothing but that program sees it, and
 * CLOCK_MONOTONIC is never touched.
 *
 * EVD_CLOCKSHIM names a file of 8 bytes, in the machine's order: how many
 * nanoseconds the wall clock is ahead of the machine's.  EVD_CLOCKSHIM_FIFO
 * names a FIFO that stands in for libev's timerfd: as that is cancelled when
 * somebody sets the clock, a byte must be written to it after a change.
 */
#define _GNU_SOURCE

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/timerfd.h>

#include "clockcalls.h"

static const volatile int64_t *shim_offset;
static int shim_fifo = -1;

static void __attribute__((constructor)) shim_init(void)
{
	const char *path = getenv("EVD_CLOCKSHIM");
	int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	void *map;

	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(*shim_offset), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (map != MAP_FAILED)
		shim_offset = map;
}

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	if (clockcalls_machine(id, ts) < 0)
		return -1;
	if (shim_offset == NULL ||
	    (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
		return 0;
	clockcalls_set(ts,
	    ts->tv_sec * CLOCKCALLS_SECOND_NS + ts->tv_nsec + *shim_offset);
	return 0;
}

/* Both ends are ours, so that it is not at its end without a writer. */
int
timerfd_create(int id, int flags)
{
	const char *path = getenv("EVD_CLOCKSHIM_FIFO");
	int fd;

	if (path == NULL || id != CLOCK_REALTIME)
		return (int)syscall(SYS_timerfd_create, id, flags);
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (shim_fifo < 0)
		shim_fifo = fd;
	return fd;
}

/* Setting it again is what libev does when it was woken. */
int
timerfd_settime(int fd, int flags, const struct itimerspec *new,
    struct itimerspec *old)
{
	char bytes[64];

	if (fd != shim_fifo)
		return (int)syscall(SYS_timerfd_settime, fd, flags, new, old);
	while (read(fd, bytes, sizeof(bytes)) > 0)
		continue;
	return 0;
}
