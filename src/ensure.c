#include "config.h"

#include "ensure.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "paths.h"
#include "socket.h"

#define ANSWER_TIMEOUT_MS 10000
/* A daemon may end, or another one be started by hand, between two looks. */
#define ATTEMPTS_MAX 5
#define READY_FD     3

enum ensure_answer {
	ANSWER_FAULT = -1, /* logged */
	ANSWER_YES,
	ANSWER_NOBODY,
};

static bool
ensure_peer_is_ours(int fd, const char *path)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		log_error("%s: SO_PEERCRED: %s", path, strerror(errno));
		return false;
	}
	if (cred.uid == geteuid())
		return true;
	log_error("%s: its listener has uid %u, expected %u", path,
	    (unsigned)cred.uid, (unsigned)geteuid());
	return false;
}

static bool
ensure_socket_is_ours(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0 || st.st_uid == geteuid())
		return true;
	log_error("%s: belongs to uid %u, expected %u", path,
	    (unsigned)st.st_uid, (unsigned)geteuid());
	return false;
}

/* Whether what is connected speaks as a daemon does. */
static enum ensure_answer
ensure_hello(int fd, const char *path)
{
	static const char hello[] = "{\"cmd\":\"hello\"}\n";
	static const char reply[] = "{\"result\":{\"protocol\":";
	/* It answers, though it has no room for one more at the moment. */
	static const char full[] = "{\"event\":\"bye\",\"reason";
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char answer[sizeof(reply) - 1];
	_Static_assert(sizeof(full) == sizeof(reply), "either is read");
	size_t have = 0;
	ssize_t n;

	if (send(fd, hello, sizeof(hello) - 1, MSG_NOSIGNAL) < 0)
		return ANSWER_NOBODY; /* it is just ending */
	while (have < sizeof(answer)) {
		if (poll(&pfd, 1, ANSWER_TIMEOUT_MS) != 1) {
			log_error("%s: no answer within %d s: pid %d, which "
				  "listens there, is stopped, or is not evd",
			    path, ANSWER_TIMEOUT_MS / 1000,
			    (int)socket_listener_pid(fd));
			return ANSWER_FAULT;
		}
		n = recv(fd, answer + have, sizeof(answer) - have, 0);
		if (n <= 0)
			return ANSWER_NOBODY;
		have += n;
	}
	if (memcmp(answer, reply, sizeof(answer)) == 0 ||
	    memcmp(answer, full, sizeof(answer)) == 0)
		return ANSWER_YES;
	log_error("%s: what listens there does not answer as evd does", path);
	return ANSWER_FAULT;
}

static enum ensure_answer
ensure_ask(const char *path)
{
	enum ensure_answer answer = ANSWER_FAULT;
	int fd;

	if (!ensure_socket_is_ours(path))
		return ANSWER_FAULT;
	fd = socket_connect(path);
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return ANSWER_NOBODY;
	if (fd < 0) {
		log_error("%s: %s", path, strerror(-fd));
		return ANSWER_FAULT;
	}
	if (ensure_peer_is_ours(fd, path))
		answer = ensure_hello(fd, path);
	close(fd);
	/* One that is just ending has answered, but nobody else can connect. */
	if (answer == ANSWER_YES && access(path, F_OK) < 0)
		return ANSWER_NOBODY;
	return answer;
}

/* --- starting ------------------------------------------------------------ */

/* The standard descriptors from this one on lead nowhere. */
static void
ensure_drop(int fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		fatal("/dev/null: %s", strerror(errno));
	for (; fd < 3; fd++)
		dup2(null, fd);
	close(null);
}

/* In the daemon: what started it waits for this. */
static void
ensure_ready(void)
{
	if (chdir("/") < 0)
		fatal("/: %s", strerror(errno));
	log_to_syslog();
	ensure_drop(STDIN_FILENO);
	if (write(READY_FD, "", 1) != 1)
		log_warning("whoever started this daemon is gone");
	close(READY_FD);
}

static void
ensure_child(int ready, bool quiet,
    void (*start)(void *arg, void (*ready)(void)), void *arg)
{
	setsid();
	if (quiet)
		ensure_drop(STDERR_FILENO);
	/* Also the lock, which would be held as long as the daemon runs. */
	if (ready != READY_FD)
		dup2(ready, READY_FD);
	close_range(READY_FD + 1, ~0U, 0);
	start(arg, ensure_ready);
	exit(1);
}

/* Returns when the new daemon is ready, or has failed; quiet: without a word. */
static void
ensure_start(bool quiet, void (*start)(void *arg, void (*ready)(void)),
    void *arg)
{
	int ready[2];
	ssize_t n;
	char byte;
	pid_t pid;

	if (pipe(ready) < 0) {
		log_error("pipe: %s", strerror(errno));
		return;
	}
	pid = fork();
	if (pid < 0) {
		log_error("fork: %s", strerror(errno));
		close(ready[0]);
		close(ready[1]);
		return;
	}
	if (pid == 0)
		ensure_child(ready[1], quiet, start, arg);
	close(ready[1]);
	do {
		n = read(ready[0], &byte, 1);
	} while (n < 0 && errno == EINTR);
	close(ready[0]);
	if (n != 1)
		waitpid(pid, NULL, 0);
}

/* The directory is the lock: nothing is left behind. */
static int
ensure_lock(const char *path)
{
	char *directory = paths_directory(path);
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	int err;

	do {
		err = fd < 0 ? -1 : flock(fd, LOCK_EX);
	} while (fd >= 0 && err < 0 && errno == EINTR);
	if (err < 0) {
		log_error("%s: %s", directory, strerror(errno));
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	free(directory);
	return fd;
}

int
ensure_daemon(const char *path, void (*start)(void *arg, void (*ready)(void)),
    void *arg)
{
	enum ensure_answer answer = ensure_ask(path);
	int lock;

	if (answer != ANSWER_NOBODY)
		return answer == ANSWER_YES ? 0 : -1;
	lock = ensure_lock(path);
	if (lock < 0)
		return -1;
	for (int i = 0; i < ATTEMPTS_MAX; i++) {
		answer = ensure_ask(path);
		if (answer != ANSWER_NOBODY)
			break;
		/* What is wrong is said once. */
		ensure_start(i > 0, start, arg);
	}
	if (answer == ANSWER_NOBODY)
		answer = ensure_ask(path);
	close(lock);
	return answer == ANSWER_YES ? 0 : -1;
}
