#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "fdqueue.h"
#include "memory.h"
#include "process.h"
#include "put.h"
#include "watcher.h"

/*
 * Readiness of a descriptor, as libev's ev_io: passed by the client, opened
 * by path, or copied from another process.
 *
 * It is in an epoll of ours, one-shot: firing is holding, and the client's
 * acknowledgement sets it again.  The flags of what was passed are shared
 * with its owner, so evd neither reads, writes nor changes it.
 */
enum io_source { SOURCE_PASSED, SOURCE_PATH, SOURCE_PROCESS };

struct io {
	struct watcher base;
	struct fdpoll_item item;
	int fd;	    /* owned, and charged; -1: none now */
	int events; /* EV_READ, EV_WRITE */
	enum io_source source;
	char *path;	/* SOURCE_PATH; owned, and charged */
	pid_t pid;	/* SOURCE_PROCESS */
	int process_fd; /* SOURCE_PROCESS */
	bool always;	/* epoll can't tell: it is always ready */
	int err;	/* polling it failed, with this errno */
};

enum { IO_EVENTS, IO_PATH, IO_PID, IO_FD };

struct io_args {
	uint32_t given;
	int events;
	struct slice path;
	int64_t pid, fd;
};

static const struct param io_params[] = {
	[IO_EVENTS] = PARAM("events", PARAM_EVENTS, struct io_args, events),
	[IO_PATH] = PARAM("path", PARAM_PATH, struct io_args, path,
	    .right = RIGHT_PATHS),
	[IO_PID] = PARAM("pid", PARAM_INTEGER, struct io_args, pid,
	    .right = RIGHT_FULL, .min = 1, .max = INT32_MAX),
	[IO_FD] = PARAM("fd", PARAM_INTEGER, struct io_args, fd,
	    .right = RIGHT_FULL, .min = 0, .max = INT32_MAX),
};

/* --- the descriptor ------------------------------------------------------- */

static void
io_close(struct io *io)
{
	fdqueue_close(io->base.host->account, io->fd);
	io->fd = -1;
}

/* An end of one of evd's own connections would keep its session alive. */
static int
io_check(const struct io *io, int fd, struct error *error)
{
	if (!socket_is_client_end(io->base.host->listener, fd))
		return 0;
	return error_set(error, ERROR_INVALID_ARGUMENT,
	    "the descriptor is an end of a connection to evd itself, expected "
	    "any other");
}

static int
io_open_path(struct io *io, struct error *error)
{
	int flags = io->events == EV_WRITE ? O_WRONLY : O_RDONLY;
	int fd = open(io->path, flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	int err = errno;
	char found[EXCERPT_SIZE];

	if (fd < 0)
		error_set_system(error, err,
		    "member \"path\" is \"%s\", which can't be opened",
		    message_excerpt(found,
			(struct slice){ io->path, strlen(io->path) }));
	return fd;
}

static int
io_open_process(struct io *io, struct error *error)
{
	int fd = -ESRCH;

	/* evd's own descriptors are nobody's business. */
	if (io->pid != getpid())
		fd = process_get_fd(io->pid, io->process_fd,
		    io->base.host->peer->uid);
	if (fd >= 0)
		return fd;
	return error_set_system(error, -fd,
	    "members \"pid\" and \"fd\" are %d and %d, which can't be had",
	    (int)io->pid, io->process_fd);
}

/* Opens what is not there yet. */
static int
io_open(struct io *io, struct error *error)
{
	struct account *account = io->base.host->account;

	if (io->fd >= 0)
		return 0;
	if (io->source == SOURCE_PASSED)
		return error_set(error, ERROR_INVALID_ARGUMENT,
		    "member \"fds\" is missing, expected 1 and a descriptor "
		    "passed along with the line: the watcher has none (any "
		    "more)");
	if (account_charge(account, LIMIT_DESCRIPTORS, 1, error) < 0)
		return -1;
	io->fd = io->source == SOURCE_PATH ? io_open_path(io, error) :
					     io_open_process(io, error);
	if (io->fd < 0) {
		account_discharge(account, LIMIT_DESCRIPTORS, 1);
		return -1;
	}
	if (account_check_fd(account, io->fd, error) < 0 ||
	    io_check(io, io->fd, error) < 0) {
		io_close(io);
		return -1;
	}
	return 0;
}

/* --- polling -------------------------------------------------------------- */

static uint32_t
io_epoll_events(const struct io *io)
{
	return (io->events & EV_READ ? EPOLLIN : 0) |
	    (io->events & EV_WRITE ? EPOLLOUT : 0) | EPOLLONESHOT;
}

/* As libev has it: an error or a hang-up is readiness for both. */
static void
io_on_events(struct fdpoll_item *item, uint32_t events)
{
	struct io *io = (struct io *)((char *)item - offsetof(struct io, item));
	int revents = 0;

	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		revents |= EV_READ;
	if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		revents |= EV_WRITE;
	revents &= io->events;
	if (revents != 0)
		watcher_fired_as(&io->base, revents);
}

/* Sets the one shot, or fires at once what is always ready. */
static void
io_rearm(struct watcher *w)
{
	struct io *io = (struct io *)w;
	int err;

	if (io->always) {
		if (io->events != 0)
			watcher_fired_as(w, io->events);
		return;
	}
	err = fdpoll_mod(w->host->fdpoll, &io->item, io_epoll_events(io));
	if (err < 0) {
		io->err = -err;
		watcher_halt(w);
		watcher_feed(w, (int)EV_ERROR);
	}
}

static int
io_start(struct watcher *w, struct error *error)
{
	struct io *io = (struct io *)w;
	int err;

	if (io_open(io, error) < 0)
		return -1;
	io->item.fd = io->fd;
	err = fdpoll_add(w->host->fdpoll, &io->item, io_epoll_events(io));
	io->always = err == -EPERM;
	if (err == 0 || io->always)
		io->err = 0;
	if (err == 0)
		return 0;
	io->item.fd = -1;
	if (io->always) {
		io_rearm(w);
		return 0;
	}
	io_close(io);
	/* EINVAL: the kernel bounds the ways by which a file wakes epolls. */
	return error_set_system(error, -err, "the descriptor can't be polled%s",
	    err == -EINVAL ? " by more than 500 watchers" : "");
}

static void
io_stop(struct watcher *w)
{
	struct io *io = (struct io *)w;

	fdpoll_del(w->host->fdpoll, &io->item);
	io_close(io);
}

/* --- members -------------------------------------------------------------- */

static int
io_check_members(const struct io *io, const struct io_args *args, bool fresh,
    struct error *error)
{
	bool path = args->given & PARAM_BIT(IO_PATH);
	bool pid = args->given & PARAM_BIT(IO_PID);
	bool fd = args->given & PARAM_BIT(IO_FD);
	bool by_path = path || (io->source == SOURCE_PATH && !pid);
	int events = args->given & PARAM_BIT(IO_EVENTS) ? args->events :
							  io->events;

	if (fresh && !(args->given & PARAM_BIT(IO_EVENTS)))
		return error_set(error, ERROR_INVALID_ARGUMENT,
		    "member \"events\" is missing, expected \"r\", \"w\", "
		    "\"rw\" or the bits 0 to 3");
	if (pid != fd)
		return error_set(error, ERROR_INVALID_ARGUMENT,
		    "member \"%s\" is missing, expected it beside \"%s\"",
		    pid ? "fd" : "pid", pid ? "pid" : "fd");
	if (path && pid)
		return error_set(error, ERROR_INVALID_ARGUMENT,
		    "members \"path\" and \"pid\" are both there, expected "
		    "one");
	if (by_path && events == (EV_READ | EV_WRITE))
		return error_set(error, ERROR_INVALID_ARGUMENT,
		    "member \"events\" is \"rw\", expected \"r\" or \"w\" with "
		    "\"path\", which is opened for one of them");
	return 0;
}

static int
io_set_path(struct io *io, struct slice path, struct error *error)
{
	struct account *account = io->base.host->account;

	if (account_charge(account, LIMIT_BYTES, path.len, error) < 0)
		return -1;
	if (io->path != NULL)
		account_discharge(account, LIMIT_BYTES, strlen(io->path));
	free(io->path);
	io->path = memory_copy(path.p, path.len);
	io->source = SOURCE_PATH;
	return 0;
}

static int
io_set(struct watcher *w, const void *values, bool fresh, struct error *error)
{
	struct io *io = (struct io *)w;
	const struct io_args *args = values;

	if (fresh) {
		io->fd = io->item.fd = -1;
		io->item.on_events = io_on_events;
	}
	if (io_check_members(io, args, fresh, error) < 0)
		return -1;
	if ((args->given & PARAM_BIT(IO_PATH)) &&
	    io_set_path(io, args->path, error) < 0)
		return -1;
	if (args->given & PARAM_BIT(IO_PID)) {
		io->source = SOURCE_PROCESS;
		io->pid = (pid_t)args->pid;
		io->process_fd = (int)args->fd;
	}
	if (io->source != SOURCE_PASSED)
		io_close(io);
	if (args->given & PARAM_BIT(IO_EVENTS))
		io->events = args->events;
	return 0;
}

/* --- passed descriptors ----------------------------------------------------- */

static int
io_accept(const struct watcher *w, const void *values, int fd,
    struct error *error)
{
	const struct io *io = (const struct io *)w;
	const struct io_args *args = values;
	bool path = args->given & PARAM_BIT(IO_PATH);
	bool pid = args->given & PARAM_BIT(IO_PID);

	if (path || pid || io->source != SOURCE_PASSED)
		return error_set(error, ERROR_INVALID_ARGUMENT,
		    "member \"fds\" is 1, expected 0 beside \"%s\"",
		    path || (!pid && io->source == SOURCE_PATH) ? "path" :
								  "pid");
	return io_check(io, fd, error);
}

static int
io_give(struct watcher *w, int fd, struct error *error)
{
	static const struct io_args none;
	struct io *io = (struct io *)w;

	if (io_accept(w, &none, fd, error) < 0)
		return -1;
	io_close(io);
	io->fd = fd;
	return 0;
}

/* --- what is told ----------------------------------------------------------- */

static void
io_put_event(const struct watcher *w, struct buffer *b)
{
	const struct io *io = (const struct io *)w;

	if (io->err == 0)
		return;
	put_key(b, "error");
	put_errno(b, io->err);
}

static void
io_put_state(const struct watcher *w, struct buffer *b)
{
	const struct io *io = (const struct io *)w;

	put_key(b, "events");
	put_i64(b, io->events);
	if (io->source == SOURCE_PATH) {
		put_key(b, "path");
		put_string(b, io->path, strlen(io->path));
	} else if (io->source == SOURCE_PROCESS) {
		put_key(b, "pid");
		put_i64(b, io->pid);
		put_key(b, "fd");
		put_i64(b, io->process_fd);
	}
}

static void
io_fini(struct watcher *w)
{
	struct io *io = (struct io *)w;

	io_close(io);
	if (io->path != NULL)
		account_discharge(w->host->account, LIMIT_BYTES,
		    strlen(io->path));
	free(io->path);
}

const struct watcher_class io_class = {
	.name = { "io", 2 },
	.revents = EV_READ | EV_WRITE,
	.gather = GATHER_IO,
	.size = sizeof(struct io),
	.params = io_params,
	.n_params = N_PARAMS(io_params),
	.level = true,
	.set = io_set,
	.give = io_give,
	.accept = io_accept,
	.start = io_start,
	.stop = io_stop,
	.rearm = io_rearm,
	.put_event = io_put_event,
	.put_state = io_put_state,
	.fini = io_fini,
};
