/*
 * Lets the calls of a program fail that runs with this in LD_PRELOAD: its own
 * and those of the libraries below it, libc's inner ones apart.
 *
 * EVD_FAULTSHIM names a file that holds a struct shim, mapped here and by who
 * wants the faults (tests/evdfaults.py): it counts the calls of each function,
 * and says which one fails, when, how often, and with which errno.  An errno of
 * 0 is a call that succeeds for one byte only.
 *
 * It stands beside clockshim.c, not in it: one that has malloc() in it would
 * hide leaks from valgrind in the tests of the clock.
 */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * The functions, in the order of the counters: kind and name.  The rest of their
 * types is left out: arguments are passed on as the words that they come as, and
 * of what is returned the caller looks at no more than is his.
 */
#define SHIM_FUNCTIONS(X)          \
	X(ALLOC, malloc)           \
	X(ALLOC, calloc)           \
	X(ALLOC, realloc)          \
	X(CALL, accept4)           \
	X(CALL, bind)              \
	X(CLOSE, close)            \
	X(CALL, clock_gettime)     \
	X(CALL, epoll_create1)     \
	X(CALL, epoll_ctl)         \
	X(CALL, epoll_wait)        \
	X(CALL, eventfd)           \
	X(CALL, fcntl)             \
	X(CALL, flock)             \
	X(POINTER, fopen)          \
	X(CALL, fstat)             \
	X(CALL, fstatfs)           \
	X(CALL, getrandom)         \
	X(CALL, getrlimit)         \
	X(CALL, getsockopt)        \
	X(CALL, inotify_add_watch) \
	X(CALL, inotify_init1)     \
	X(CALL, inotify_rm_watch)  \
	X(CALL, ioctl)             \
	X(CALL, kill)              \
	X(CALL, listen)            \
	X(CALL, lstat)             \
	X(CALL, mkdir)             \
	X(CALL, open)              \
	X(CALL, openat)            \
	X(CALL, pidfd_getfd)       \
	X(CALL, pidfd_open)        \
	X(CALL, pidfd_send_signal) \
	X(CALL, pipe2)             \
	X(CALL, poll)              \
	X(CODE, pthread_create)    \
	X(CALL, read)              \
	X(CALL, readlink)          \
	X(CALL, recv)              \
	X(CALL, recvmsg)           \
	X(CALL, send)              \
	X(CALL, setrlimit)         \
	X(CALL, setsockopt)        \
	X(CALL, shutdown)          \
	X(CALL, signalfd)          \
	X(CALL, socket)            \
	X(CALL, stat)              \
	X(CALL, timerfd_create)    \
	X(CALL, timerfd_settime)   \
	X(CALL, unlink)            \
	X(FORK, vfork)             \
	X(CALL, waitid)            \
	X(LOG, write)

enum shim_function {
#define SHIM_ENUM(kind, name) SHIM_##name,
	SHIM_FUNCTIONS(SHIM_ENUM) SHIM_COUNT
};

struct shim {
	int32_t function; /* that fails; -1: none */
	int32_t error;
	int64_t skip;	/* calls before the first one that fails */
	int64_t times;	/* calls that fail */
	int64_t failed; /* that did */
	int64_t calls[SHIM_COUNT];
};

/* For who maps the file: the names, in the order of the counters. */
const char *const shim_names[] = {
#define SHIM_NAME(kind, name) #name,
	SHIM_FUNCTIONS(SHIM_NAME) NULL
};

static struct shim *shim;

static void __attribute__((constructor)) shim_init(void)
{
	const char *path = getenv("EVD_FAULTSHIM");
	int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
	void *map;

	/* What the program starts is none of our business. */
	unsetenv("EVD_FAULTSHIM");
	if (fd < 0)
		return;
	map = mmap(NULL, sizeof(*shim), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
	    0);
	close(fd);
	if (map != MAP_FAILED)
		shim = map;
}

/* Counts a call; gives the errno with which it is to fail, or -1. */
static int
shim_fault(enum shim_function function)
{
	if (shim == NULL)
		return -1;
	__atomic_add_fetch(&shim->calls[function], 1, __ATOMIC_RELAXED);
	if (shim->function != (int)function)
		return -1;
	if (__atomic_sub_fetch(&shim->skip, 1, __ATOMIC_SEQ_CST) >= 0)
		return -1;
	if (__atomic_sub_fetch(&shim->times, 1, __ATOMIC_SEQ_CST) < 0)
		return -1;
	__atomic_add_fetch(&shim->failed, 1, __ATOMIC_SEQ_CST);
	return shim->error;
}

typedef long shim_call(long, long, long, long, long, long);

#define SHIM_REAL(name)                      \
	static shim_call *real;              \
	int error = shim_fault(SHIM_##name); \
                                             \
	if (real == NULL)                    \
		real = (shim_call *)dlsym(RTLD_NEXT, #name);

#define SHIM_HEAD(name)                                          \
	long shim_##name(long a, long b, long c, long d, long e, \
	    long f) __asm__(#name);                              \
	long shim_##name(long a, long b, long c, long d, long e, long f)

#define SHIM_FAIL(value)               \
	do {                           \
		if (error > 0) {       \
			errno = error; \
			return value;  \
		}                      \
	} while (0)

#define SHIM_DEFINE_CALL(name)                                           \
	SHIM_HEAD(name)                                                  \
	{                                                                \
		SHIM_REAL(name)                                          \
		SHIM_FAIL(-1);                                           \
		return real(a, b, error == 0 && c > 1 ? 1 : c, d, e, f); \
	}

#define SHIM_DEFINE_POINTER(name)              \
	SHIM_HEAD(name)                        \
	{                                      \
		SHIM_REAL(name)                \
		SHIM_FAIL(0);                  \
		return real(a, b, c, d, e, f); \
	}

/* Returns the errno itself. */
#define SHIM_DEFINE_CODE(name)                 \
	SHIM_HEAD(name)                        \
	{                                      \
		SHIM_REAL(name)                \
		if (error > 0)                 \
			return error;          \
		return real(a, b, c, d, e, f); \
	}

/* Also one that fails has closed it, on Linux. */
#define SHIM_DEFINE_CLOSE(name)                       \
	SHIM_HEAD(name)                               \
	{                                             \
		SHIM_REAL(name)                       \
		long result = real(a, b, c, d, e, f); \
                                                      \
		SHIM_FAIL(-1);                        \
		return result;                        \
	}

/* Of what is written to standard error alone. */
#define SHIM_DEFINE_LOG(name)                                            \
	SHIM_HEAD(name)                                                  \
	{                                                                \
		static shim_call *real;                                  \
		int error = a == 2 ? shim_fault(SHIM_##name) : -1;       \
                                                                         \
		if (real == NULL)                                        \
			real = (shim_call *)dlsym(RTLD_NEXT, #name);     \
		SHIM_FAIL(-1);                                           \
		return real(a, b, error == 0 && c > 1 ? 1 : c, d, e, f); \
	}

/* vfork() can't be called through a function of one's own, fork() does. */
#define SHIM_DEFINE_FORK(name)                                        \
	SHIM_HEAD(name)                                               \
	{                                                             \
		int error = shim_fault(SHIM_##name);                  \
                                                                      \
		(void)a, (void)b, (void)c, (void)d, (void)e, (void)f; \
		SHIM_FAIL(-1);                                        \
		return fork();                                        \
	}

/* dlsym() itself may allocate. */
#define SHIM_DEFINE_ALLOC(name)                              \
	shim_call shim_libc_##name __asm__("__libc_" #name); \
	SHIM_HEAD(name)                                      \
	{                                                    \
		int error = shim_fault(SHIM_##name);         \
                                                             \
		SHIM_FAIL(0);                                \
		return shim_libc_##name(a, b, c, d, e, f);   \
	}

#define SHIM_DEFINE(kind, name) SHIM_DEFINE_##kind(name)
SHIM_FUNCTIONS(SHIM_DEFINE)
