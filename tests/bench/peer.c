#include "config.h"
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* How each is started; %s is its address, and %d the directory. */
static const struct {
	const char *program; /* NULL: see program() */
	bool tcp;
	const char *args[16];
} kinds[] = {
	[PEER_EVD] = { NULL, false,
	    { "--socket", "%s", "--log-level", "warning", "--max-watchers",
		"4000000", "--max-bytes", "4000000000" } },
	[PEER_LINES] = { NULL, false, { "%s" } },
	[PEER_REDIS] = { "redis-server", false,
	    { "--port", "0", "--unixsocket", "%s", "--save", "", "--dir", "%d",
		"--notify-keyspace-events", "Ex" } },
	[PEER_BEANSTALKD] = { "beanstalkd", false, { "-l", "unix:%s" } },
	[PEER_NATS] = { "nats-server", true,
	    { "-a", "127.0.0.1", "-p", "%s" } },
	[PEER_WATCHMAN] = { "watchman", false,
	    { "--foreground", "--no-save-state", "--sockname", "%s",
		"--logfile", "%d/watchman.log", "--pidfile",
		"%d/watchman.pid" } },
};

static const char *
directory(void)
{
	const char *dir = getenv("EVD_BENCH_DIRECTORY");

	if (dir == NULL)
		fatal("EVD_BENCH_DIRECTORY is not set");
	return (dir);
}

static const char *
program(enum peer_kind kind)
{
	static char path[4096];

	if (kind == PEER_EVD)
		return (getenv("EVD"));
	if (kind != PEER_LINES)
		return (kinds[kind].program);
	snprintf(path, sizeof path, "%s/tests/bench/lineserver",
	    getenv("EVD_BUILDDIR"));
	return (path);
}

bool
peer_is_there(enum peer_kind kind)
{
	char command[256];

	if (kinds[kind].program == NULL)
		return (true);
	snprintf(command, sizeof command, "command -v %s >/dev/null",
	    kinds[kind].program);
	return (system(command) == 0);
}

/* Puts the address and the directory in. */
static char *
expand(const struct peer *peer, const char *arg)
{
	const char *percent = strchr(arg, '%');
	char *text;

	if (percent == NULL)
		return (strdup(arg));
	if (asprintf(&text, "%.*s%s%s", (int)(percent - arg), arg,
		percent[1] == 's' ? peer->address : directory(),
		percent + 2) == -1)
		fatal("out of memory");
	return (text);
}

/* A TCP port that was free a moment ago. */
static int
free_port(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof in;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&in, len) == -1 ||
	    getsockname(fd, (struct sockaddr *)&in, &len) == -1)
		fatal("no free port: %s", strerror(errno));
	close(fd);
	return (ntohs(in.sin_port));
}

static void
run(const struct peer *peer)
{
	char *argv[20] = { strdup(program(peer->kind)) };
	char log[256];
	int fd;

	for (size_t i = 0; kinds[peer->kind].args[i] != NULL; i++)
		argv[i + 1] = expand(peer, kinds[peer->kind].args[i]);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(log, sizeof log, "%s/log", directory());
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	execvp(argv[0], argv);
	_exit(127);
}

void
peer_spawn(struct peer *peer, enum peer_kind kind)
{
	static unsigned count;

	peer->kind = kind;
	if (kinds[kind].tcp)
		snprintf(peer->address, sizeof peer->address, "%d",
		    free_port());
	else
		snprintf(peer->address, sizeof peer->address, "%s/%u",
		    directory(), ++count);
	if ((peer->pid = fork()) == -1)
		fatal("fork: %s", strerror(errno));
	if (peer->pid == 0)
		run(peer);
}

int
peer_try_connect(const struct peer *peer)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	bool tcp = kinds[peer->kind].tcp;
	int fd = socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in.sin_port = htons(tcp ? atoi(peer->address) : 0);
	snprintf(un.sun_path, sizeof un.sun_path, "%s", peer->address);
	if (connect(fd, tcp ? (struct sockaddr *)&in : (struct sockaddr *)&un,
		tcp ? sizeof in : sizeof un) == -1) {
		close(fd);
		return (-1);
	}
	return (fd);
}

int
peer_connect(const struct peer *peer)
{
	int fd = -1;

	for (int i = 0; i < 10000 && fd == -1; i++) {
		if ((fd = peer_try_connect(peer)) == -1)
			pause_for(0.001);
	}
	if (fd == -1)
		fatal("%s does not answer; see %s/log", program(peer->kind),
		    directory());
	return (fd);
}

void
peer_start(struct peer *peer, enum peer_kind kind)
{
	peer_spawn(peer, kind);
	close(peer_connect(peer));
}

void
peer_stop(struct peer *peer)
{
	if (peer->pid <= 0)
		return;
	kill(peer->pid, SIGKILL);
	waitpid(peer->pid, NULL, 0);
	peer->pid = 0;
}

/* The sum of the lines that begin with name. */
static double
proc_sum(pid_t pid, const char *file, const char *name)
{
	char path[64], line[256];
	double sum = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
	if ((f = fopen(path, "r")) == NULL)
		fatal("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof line, f) != NULL) {
		if (strncmp(line, name, strlen(name)) == 0)
			sum += atof(strchr(line, ':') + 1);
	}
	fclose(f);
	return (sum);
}

double
process_private(pid_t pid)
{
	return (proc_sum(pid, "smaps_rollup", "Private_Dirty:") * 1024);
}

double
process_sleeps(pid_t pid)
{
	return (proc_sum(pid, "status", "voluntary_ctxt_switches"));
}

static void
set_processors(pid_t pid, int first, int last)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (int i = first; i <= last; i++)
		CPU_SET(i, &set);
	if (sched_setaffinity(pid, sizeof set, &set) == -1)
		fatal("sched_setaffinity: %s", strerror(errno));
}

void
pin(pid_t pid)
{
	int last = (int)sysconf(_SC_NPROCESSORS_ONLN) - 1;

	set_processors(pid, last, last);
}

void
unpin(void)
{
	set_processors(0, 0, (int)sysconf(_SC_NPROCESSORS_ONLN) - 1);
}

struct stream *
rig_stream(struct rig *rig)
{
	struct stream *streams = realloc(rig->streams,
	    (rig->n_streams + 1) * sizeof *streams);

	if (streams == NULL)
		fatal("out of memory");
	rig->streams = streams;
	stream_open(&streams[rig->n_streams], peer_connect(&rig->peer));
	return (&rig->streams[rig->n_streams++]);
}
