#include "config.h"

#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "process.h"

const char *const right_names[RIGHTS] = {
	[RIGHT_ALL] = "all",
	[RIGHT_FULL] = "full",
	[RIGHT_PATHS] = "paths",
	[RIGHT_SPAWN] = "spawn",
};

#ifndef SO_PEERPIDFD /* Linux 6.5 */
#define SO_PEERPIDFD 77
#endif

/*
 * A pidfd of whoever connected.  Before Linux 6.5 by its pid, which might be
 * another's by now.
 */
static int
peer_open_pidfd(const struct peer *peer, int fd)
{
	socklen_t len = sizeof(int);
	int pidfd;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0)
		return pidfd;
	return errno == ENOPROTOOPT ? pidfd_open(peer->pid, 0) : -1;
}

/* Returns 0 if the peer's namespace is ours, 1 if not, or a negative errno. */
static int
peer_compare_namespace(pid_t pid, const char *which)
{
	struct stat ours, theirs;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, which);
	if (stat(path, &theirs) < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/ns/%s", which);
	if (stat(path, &ours) < 0)
		return -errno;
	return ours.st_dev != theirs.st_dev || ours.st_ino != theirs.st_ino;
}

static void
peer_refuse_unknown(struct peer *peer, const char *what)
{
	snprintf(peer->why_not, sizeof(peer->why_not),
	    "the peer's namespaces could not be compared with evd's: %s", what);
}

static void
peer_compare(struct peer *peer, int pidfd)
{
	static const char *const namespaces[] = { "user", "mnt", "pid", NULL };
	int ended;

	for (int i = 0; namespaces[i] != NULL; i++) {
		int err = peer_compare_namespace(peer->pid, namespaces[i]);

		if (err < 0) {
			peer_refuse_unknown(peer, strerror(-err));
			return;
		}
		if (err > 0) {
			snprintf(peer->why_not, sizeof(peer->why_not),
			    "the peer's %s namespace is not evd's",
			    namespaces[i]);
			return;
		}
	}
	/* Alive now: it was its /proc that we read. */
	ended = process_has_ended(pidfd);
	if (ended == 0)
		peer->full = true;
	else
		peer_refuse_unknown(peer,
		    ended < 0 ? strerror(-ended) : "it has ended");
}

/* What ps(1) would show. */
static void
peer_read_command(struct peer *peer)
{
	char path[40];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)peer->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, peer->command, sizeof(peer->command) - 1);
	close(fd);
	peer->command[n < 0 ? 0 : n] = '\0';
	peer->command[strcspn(peer->command, "\n")] = '\0';
}

void
peer_init(struct peer *peer, int fd)
{
	struct ucred cred = { .pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	socklen_t len = sizeof(cred);
	int pidfd;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		log_error("getsockopt: SO_PEERCRED: %s", strerror(errno));
	*peer = (struct peer){ .pid = cred.pid,
		.uid = cred.uid,
		.gid = cred.gid };
	peer_read_command(peer);
	if (peer->uid != geteuid()) {
		snprintf(peer->why_not, sizeof(peer->why_not),
		    "the peer's uid is %u and evd's is %u", (unsigned)peer->uid,
		    (unsigned)geteuid());
		return;
	}
	pidfd = peer_open_pidfd(peer, fd);
	if (pidfd < 0) {
		peer_refuse_unknown(peer, strerror(errno));
		return;
	}
	peer_compare(peer, pidfd);
	close(pidfd);
}

const char *
peer_show(const struct peer *peer, char out[PEER_SHOWN_SIZE])
{
	char command[4 * sizeof(peer->command)];

	log_escape(command, sizeof(command), peer->command,
	    strlen(peer->command));
	snprintf(out, PEER_SHOWN_SIZE,
	    *command == '\0' ? "pid %d of uid %u" : "pid %d of uid %u (%s)",
	    (int)peer->pid, (unsigned)peer->uid, command);
	return out;
}

const char *
peer_refuses(const struct peer *peer, enum right right)
{
	if (right == RIGHT_ALL)
		return NULL;
	if (!peer->full)
		return peer->why_not;
	if (right == RIGHT_PATHS && peer->no_paths)
		return "evd was started with --no-paths";
	if (right == RIGHT_SPAWN && peer->no_spawn)
		return "evd was started with --no-spawn";
	return NULL;
}
