#include "config.h"

#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "memory.h"

#define SOCKET_BACKLOG	 4096
#define SOCKET_CONNECT_S 10

static int
socket_address(struct sockaddr_un *address, const char *path)
{
	if (strlen(path) >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	strcpy(address->sun_path, path);
	return 0;
}

int
socket_connect(const char *path)
{
	struct timeval timeout = { .tv_sec = SOCKET_CONNECT_S };
	struct sockaddr_un address;
	int err = socket_address(&address, path);
	int fd;

	if (err < 0)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* A stopped daemon's backlog fills, and then connect(2) waits. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

pid_t
socket_listener_pid(int fd)
{
	struct ucred cred = { .pid = 0 };
	socklen_t len = sizeof(cred);

	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len);
	return cred.pid;
}

/* --- the lock ----------------------------------------------------------- */

static char *
socket_lock_path(const char *path)
{
	size_t size = strlen(path) + sizeof(".lock");
	char *lock = memory_alloc(size);

	snprintf(lock, size, "%s.lock", path);
	return lock;
}

/*
 * A daemon that ends removes its lock file, and then what others have opened
 * is not the file that the next one opens: look whether it still is.
 */
static bool
socket_lock_is_current(int fd, const char *lock)
{
	struct stat ours, there;

	return fstat(fd, &ours) == 0 && stat(lock, &there) == 0 &&
	    ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/* Returns the descriptor that holds the lock, or -1 after logging why. */
static int
socket_lock(const char *path)
{
	char *lock = socket_lock_path(path);
	int fd;

	for (;;) {
		fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		    0600);
		if (fd < 0) {
			log_error("%s: %s", lock, strerror(errno));
			break;
		}
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			if (errno == EWOULDBLOCK)
				log_error("%s: a daemon is running there%s",
				    path,
				    access(path, F_OK) == 0 ?
					"" :
					", whose socket was removed, or is "
					"about to be made");
			else
				log_error("%s: %s", lock, strerror(errno));
			close(fd);
			fd = -1;
			break;
		}
		if (socket_lock_is_current(fd, lock))
			break;
		close(fd);
	}
	free(lock);
	return fd;
}

static void
socket_unlock(struct socket_listener *listener)
{
	char *lock;

	if (listener->lock < 0)
		return;
	lock = socket_lock_path(listener->path);
	unlink(lock);
	free(lock);
	close(listener->lock);
	listener->lock = -1;
}

/* --- listening ---------------------------------------------------------- */

/* Makes the path free, if what is there is a dead daemon's socket. */
static int
socket_clear_path(const char *path)
{
	struct stat st;
	int fd;

	if (lstat(path, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		log_error("%s: %s", path, strerror(errno));
		return -1;
	}
	if (!S_ISSOCK(st.st_mode)) {
		log_error("%s: is there and not a socket; it stays", path);
		return -1;
	}
	fd = socket_connect(path);
	if (fd >= 0 || fd == -EAGAIN) {
		if (fd >= 0)
			close(fd);
		log_error("%s: another program listens there", path);
		return -1;
	}
	if (fd != -ECONNREFUSED) {
		log_error("%s: %s", path, strerror(-fd));
		return -1;
	}
	if (unlink(path) < 0 && errno != ENOENT) {
		log_error("%s: %s", path, strerror(errno));
		return -1;
	}
	return 0;
}

static int
socket_bind(struct socket_listener *listener, mode_t mode)
{
	struct sockaddr_un address;
	int err = socket_address(&address, listener->path);
	mode_t mask;
	struct stat st;

	if (err < 0)
		return err;
	listener->fd = socket(AF_UNIX,
	    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0)
		return -errno;
	mask = umask(~mode & 0777);
	err = bind(listener->fd, (struct sockaddr *)&address, sizeof(address)) <
		0 ?
	    -errno :
	    0;
	umask(mask);
	if (err < 0)
		return err;
	if (lstat(listener->path, &st) < 0)
		return -errno;
	listener->dev = st.st_dev;
	listener->ino = st.st_ino;
	return listen(listener->fd, SOCKET_BACKLOG) < 0 ? -errno : 0;
}

int
socket_listen(struct socket_listener *listener, const char *path, mode_t mode)
{
	int err = 0;

	*listener = (struct socket_listener){ .fd = -1, .lock = -1 };
	listener->path = memory_strdup(path);
	listener->lock = socket_lock(path);
	if (listener->lock >= 0 && socket_clear_path(path) == 0) {
		err = socket_bind(listener, mode);
		if (err == 0)
			return 0;
		log_error("%s: %s", path, strerror(-err));
	}
	socket_close(listener);
	return -1;
}

static int
socket_adopt_fd(struct socket_listener *listener)
{
	int flags = fcntl(listener->fd, F_GETFL);

	listener->address_len = sizeof(listener->address);
	if (flags < 0 || fcntl(listener->fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    getsockname(listener->fd, (struct sockaddr *)&listener->address,
		&listener->address_len) < 0)
		return -errno;
	/* From here on SO_PEERCRED shows clients us, not who bound it. */
	return listen(listener->fd, SOCKET_BACKLOG) < 0 ? -errno : 0;
}

int
socket_adopt(struct socket_listener *listener, int fd)
{
	size_t start = offsetof(struct sockaddr_un, sun_path), len;
	char *path;
	int err;

	*listener = (struct socket_listener){ .fd = fd,
		.lock = -1,
		.adopted = true };
	err = socket_adopt_fd(listener);
	if (err < 0) {
		log_error("the socket that was passed: %s", strerror(-err));
		socket_close(listener);
		return -1;
	}
	/* A name that is not in the file system begins with a NUL. */
	len = listener->address_len > start ? listener->address_len - start : 0;
	path = memory_copy(listener->address.sun_path, len);
	if (len > 0 && path[0] == '\0')
		path[0] = '@';
	listener->path = path;
	return 0;
}

static bool
socket_has_peer_address(const struct socket_listener *listener, int fd)
{
	struct sockaddr_un address;
	socklen_t len = sizeof(address);

	return getpeername(fd, (struct sockaddr *)&address, &len) == 0 &&
	    len == listener->address_len &&
	    memcmp(&address, &listener->address, len) == 0;
}

/*
 * A connection's peer credentials are those of whoever listened when it was
 * made: ours, but not for who connected before we were there.  Then an address
 * tells; another's may be the same, in another mount namespace.
 */
bool
socket_is_client_end(const struct socket_listener *listener, int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return false;
	return cred.pid == getpid() ||
	    (listener->adopted && socket_has_peer_address(listener, fd));
}

bool
socket_is_shut(const struct socket_listener *listener)
{
	struct pollfd pfd = { .fd = listener->fd };

	return poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLHUP);
}

void
socket_retire(struct socket_listener *listener)
{
	struct stat st;

	if (listener->lock < 0)
		return;
	if (listener->fd >= 0) {
		if (lstat(listener->path, &st) == 0 &&
		    st.st_dev == listener->dev && st.st_ino == listener->ino)
			unlink(listener->path);
		/* connect(2) is refused from here on; the backlog stays. */
		shutdown(listener->fd, SHUT_RD);
	}
	socket_unlock(listener);
}

void
socket_close(struct socket_listener *listener)
{
	socket_retire(listener);
	if (listener->fd >= 0)
		close(listener->fd);
	listener->fd = -1;
	free(listener->path);
	listener->path = NULL;
}
