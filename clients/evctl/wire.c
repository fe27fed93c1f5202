#include "config.h"

#include "wire.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "memory.h"
#include "paths.h"
#include "put.h"
#include "socket.h"

#include "value.h"

#define HELLO_S	     10
#define QUEUED_MAX   65536 /* bytes; then nothing else is waited for */
#define READ_SIZE    65536
#define POLL_MS_MAX  1000000000
#define FDS_RETRY_MS 10 /* for others to take theirs (ETOOMANYREFS) */

double
wire_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- finding the daemon --------------------------------------------------- */

/* In the child: the evd that stands beside this evctl, else by PATH. */
static void __attribute__((noreturn)) wire_exec_evd(int log)
{
	char beside[4096];
	ssize_t n = readlink("/proc/self/exe", beside, sizeof(beside) - 1);
	char *slash;

	dup2(log, STDERR_FILENO);
	if (n > 0) {
		beside[n] = '\0';
		slash = strrchr(beside, '/');
		snprintf(slash + 1, sizeof(beside) - (slash + 1 - beside),
		    "evd");
		execl(beside, "evd", "--ensure", NULL);
	}
	execlp("evd", "evd", "--ensure", NULL);
	evctl_warn("evd can't be started: %s", strerror(errno));
	_exit(STATUS_NOT_FOUND);
}

/* What evd has said matters if it has failed. */
static void
wire_show_log(int log)
{
	char text[4096];
	ssize_t n = pread(log, text, sizeof(text), 0);

	if (n > 0)
		fwrite(text, 1, n, stderr);
}

static void
wire_ensure_daemon(void)
{
	int log = memfd_create("evd", MFD_CLOEXEC);
	pid_t pid = log < 0 ? -1 : fork();
	int status;

	if (pid < 0)
		evctl_die(STATUS_ERROR, "evd --ensure: %s", strerror(errno));
	if (pid == 0)
		wire_exec_evd(log);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			evctl_die(STATUS_ERROR, "evd --ensure: %s",
			    strerror(errno));
	if (status != 0) {
		wire_show_log(log);
		evctl_die(STATUS_NO_DAEMON, "no daemon, and none was started");
	}
	close(log);
}

/* Nobody else may pass for our own daemon. */
static void
wire_check_listener(const struct wire *wire)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(wire->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		evctl_die(STATUS_ERROR, "%s: SO_PEERCRED: %s", wire->path,
		    strerror(errno));
	if (cred.uid != geteuid())
		evctl_die(STATUS_NO_DAEMON,
		    "%s: its listener has uid %u, expected %u", wire->path,
		    (unsigned)cred.uid, (unsigned)geteuid());
}

static bool
wire_starts_daemon(void)
{
	const char *start = getenv("EVD_AUTOSTART");

	return start == NULL || strcmp(start, "0") != 0;
}

static void
wire_connect_to(struct wire *wire, bool own)
{
	wire->fd = socket_connect(wire->path);
	if (own && (wire->fd == -ENOENT || wire->fd == -ECONNREFUSED) &&
	    wire_starts_daemon()) {
		wire_ensure_daemon();
		wire->fd = socket_connect(wire->path);
	}
	if (wire->fd < 0)
		evctl_die(STATUS_NO_DAEMON, "no daemon at %s: %s", wire->path,
		    strerror(-wire->fd));
	if (own)
		wire_check_listener(wire);
}

void
wire_connect(struct wire *wire, const struct evctl *evctl)
{
	const char *given = evctl->options[OPTION_SOCKET];

	if (given == NULL)
		given = getenv("EVD_SOCKET");
	if (given != NULL && *given == '\0')
		given = NULL;
	wire->path = given == NULL ? paths_own_socket() : memory_strdup(given);
	if (wire->path == NULL)
		exit(STATUS_NO_DAEMON);
	wire_connect_to(wire, given == NULL);
}

void
wire_init(struct wire *wire)
{
	*wire = (struct wire){ .fd = -1, .other = -1 };
	buffer_init(&wire->in, NULL);
	buffer_init(&wire->out, NULL);
}

void
wire_close(struct wire *wire)
{
	if (wire->fd >= 0)
		close(wire->fd);
	buffer_fini(&wire->in);
	buffer_fini(&wire->out);
	free(wire->path);
}

/* --- lines ---------------------------------------------------------------- */

/* Descriptors go with the first byte, and so with the first line. */
static ssize_t
wire_send(struct wire *wire)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * WIRE_FDS_MAX)];
		struct cmsghdr header;
	} control = { .bytes = { 0 } };
	struct iovec iov = { buffer_data(&wire->out), buffer_len(&wire->out) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	size_t size = sizeof(int) * wire->n_fds;

	if (size > 0) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(size);
		control.header = (struct cmsghdr){
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(size),
		};
		memcpy(CMSG_DATA(&control.header), wire->fds, size);
	}
	return sendmsg(wire->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Returns false if it must be tried again though the socket has room. */
static bool
wire_flush(struct wire *wire)
{
	ssize_t n;

	while (buffer_len(&wire->out) > 0) {
		n = wire_send(wire);
		if (n >= 0) {
			buffer_consume(&wire->out, n);
			wire->n_fds = 0;
		} else if (errno == ETOOMANYREFS) {
			return false;
		} else if (errno == EPIPE || errno == ECONNRESET) {
			/* What it has said before is still to be read. */
			buffer_clear(&wire->out);
		} else if (errno == EAGAIN) {
			return true;
		} else if (errno != EINTR) {
			evctl_die(STATUS_ERROR, "%s: %s", wire->path,
			    strerror(errno));
		}
	}
	if (wire->ends)
		shutdown(wire->fd, SHUT_WR);
	return true;
}

/* Returns false at the end. */
static bool
wire_fill(struct wire *wire)
{
	char *room = buffer_reserve(&wire->in, READ_SIZE);
	ssize_t n = recv(wire->fd, room, READ_SIZE, MSG_DONTWAIT);

	if (n > 0)
		buffer_commit(&wire->in, n);
	else if (n == 0 || errno == ECONNRESET)
		return false;
	else if (errno != EAGAIN && errno != EINTR)
		evctl_die(STATUS_ERROR, "%s: %s", wire->path, strerror(errno));
	return true;
}

static bool
wire_find_line(struct wire *wire)
{
	const char *start, *end;

	buffer_consume(&wire->in, wire->taken);
	wire->taken = 0;
	if (buffer_len(&wire->in) == 0)
		return false;
	start = buffer_data(&wire->in);
	end = memchr(start + wire->scanned, '\n',
	    buffer_len(&wire->in) - wire->scanned);
	if (end == NULL) {
		wire->scanned = buffer_len(&wire->in);
		return false;
	}
	wire->line = (struct slice){ start, end - start };
	wire->taken = wire->line.len + 1;
	wire->scanned = 0;
	return true;
}

static int
wire_timeout(double deadline, bool retry)
{
	double ms = ceil((deadline - wire_now()) * 1000);

	if (ms < 0)
		ms = 0;
	if (retry && ms > FDS_RETRY_MS)
		ms = FDS_RETRY_MS;
	if (isinf(ms))
		return -1;
	return ms > POLL_MS_MAX ? POLL_MS_MAX : (int)ms;
}

/* Whoever reads us has gone: end as if we had written. */
static void
wire_check_reader(const struct wire *wire, short revents)
{
	if (wire->is_printing && (revents & (POLLERR | POLLHUP)))
		raise(SIGPIPE);
}

enum wire_event
wire_next(struct wire *wire, double deadline)
{
	enum { DAEMON, READER, OTHER, N };
	struct pollfd polled[N];
	bool retry;
	int n;

	while (!wire_find_line(wire)) {
		if (fflush(stdout) == EOF)
			evctl_die(STATUS_ERROR, "standard output: %s",
			    strerror(errno));
		retry = !wire_flush(wire);
		polled[DAEMON] = (struct pollfd){ wire->fd, POLLIN, 0 };
		if (buffer_len(&wire->out) > 0 && !retry)
			polled[DAEMON].events |= POLLOUT;
		polled[READER] = (struct pollfd){
			wire->is_printing ? STDOUT_FILENO : -1, 0, 0
		};
		polled[OTHER] = (struct pollfd){
			buffer_len(&wire->out) < QUEUED_MAX ? wire->other : -1,
			POLLIN, 0
		};
		n = poll(polled, N, wire_timeout(deadline, retry));
		if (n < 0 && errno != EINTR)
			evctl_die(STATUS_ERROR, "poll: %s", strerror(errno));
		if (n < 0)
			continue;
		wire_check_reader(wire, polled[READER].revents);
		if ((polled[DAEMON].revents & ~POLLOUT) && !wire_fill(wire))
			return WIRE_END;
		if (polled[OTHER].revents)
			return WIRE_OTHER;
		if (n == 0 && wire_now() >= deadline)
			return WIRE_DEADLINE;
	}
	return WIRE_LINE;
}

void
wire_die(const struct wire *wire)
{
	evctl_die(STATUS_NO_DAEMON,
	    "the daemon at %s has gone, and all its watchers with it",
	    wire->path);
}

/* --- messages ------------------------------------------------------------- */

static bool
wire_is_shaped(const struct message *message)
{
	static const struct {
		const char *member;
		enum member_kind kind;
	} shapes[] = { { "event", MEMBER_STRING }, { "result", MEMBER_OBJECT },
		{ "error", MEMBER_OBJECT } };
	const struct member *member;
	size_t found = 0;

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		member = message_find(message, shapes[i].member);
		if (member == NULL)
			continue;
		if (member->kind != shapes[i].kind)
			return false;
		found++;
	}
	return found == 1;
}

void
wire_parse(const struct wire *wire, struct message *message)
{
	struct error error;

	if (message_parse(message, wire->line.p, wire->line.len, &error) < 0 ||
	    !wire_is_shaped(message))
		evctl_die(STATUS_NO_DAEMON,
		    "what listens at %s does not answer as evd does",
		    wire->path);
}

bool
wire_read_error(const struct message *message, struct buffer *b)
{
	const struct member *error = message_find(message, "error");
	const char *code = "error", *text = "";

	if (error == NULL)
		return false;
	json_unpack((json_t *)error->tree, "{s?s, s?s}", "code", &code,
	    "message", &text);
	buffer_append(b, code, strlen(code));
	buffer_puts(b, ": ");
	buffer_append(b, text, strlen(text));
	return true;
}

void
wire_check_error(const struct message *message)
{
	struct buffer text;

	buffer_init(&text, NULL);
	if (wire_read_error(message, &text))
		evctl_die(STATUS_REFUSED, "%.*s", (int)buffer_len(&text),
		    buffer_data(&text));
	buffer_fini(&text);
}

bool
wire_is_end(const struct wire *wire, const struct message *message)
{
	const struct member *event = message_find(message, "event");
	const struct member *reason = message_find(message, "reason");
	const struct member *text = message_find(message, "message");

	if (event == NULL || !slice_is(event->string, "bye"))
		return false;
	if (reason != NULL && slice_is(reason->raw, "\"end\""))
		return true;
	if (text != NULL && text->kind == MEMBER_STRING)
		evctl_die(STATUS_REFUSED, "%.*s", (int)text->string.len,
		    text->string.p);
	evctl_die(STATUS_NO_DAEMON, "the daemon at %s has ended", wire->path);
}

enum wire_event
wire_next_message(struct wire *wire, double deadline, struct message *message)
{
	enum wire_event event = wire_next(wire, deadline);

	if (event == WIRE_END)
		wire_die(wire);
	if (event != WIRE_LINE)
		return event;
	wire_parse(wire, message);
	wire_check_error(message);
	return wire_is_end(wire, message) ? WIRE_END : WIRE_LINE;
}

const struct member *
wire_call(struct wire *wire, struct message *message)
{
	const struct member *result = NULL;

	while (result == NULL) {
		if (wire_next_message(wire, INFINITY, message) != WIRE_LINE)
			wire_die(wire);
		result = message_find(message, "result");
	}
	return result;
}

/* --- hello ---------------------------------------------------------------- */

static void
wire_put_hello(struct wire *wire, const struct evctl *evctl)
{
	const char *session = evctl->options[OPTION_SESSION];

	buffer_puts(&wire->out, "{\"cmd\":\"hello\"");
	if (session != NULL) {
		put_key(&wire->out, "session");
		value_put_string(&wire->out, "--session", session);
	}
	buffer_puts(&wire->out, "}\n");
}

static void
wire_check_hello(const struct wire *wire, const struct message *message)
{
	const struct member *result = message_find(message, "result");
	int protocol = 0;

	if (result != NULL)
		json_unpack((json_t *)result->tree, "{s:i}", "protocol",
		    &protocol);
	if (protocol != PROTOCOL_VERSION)
		evctl_die(STATUS_NO_DAEMON,
		    "the daemon at %s does not speak protocol %d", wire->path,
		    PROTOCOL_VERSION);
}

void
wire_open(struct wire *wire, const struct evctl *evctl, struct message *message)
{
	double limit = evctl_seconds(evctl, OPTION_TIMEOUT, INFINITY);
	double deadline = wire_now() + fmin(limit, HELLO_S);
	struct buffer queued = wire->out;
	size_t n_fds = wire->n_fds;

	buffer_init(&wire->out, NULL);
	wire->n_fds = 0;
	wire_put_hello(wire, evctl);
	wire_connect(wire, evctl);
	if (wire_next_message(wire, deadline, message) == WIRE_DEADLINE) {
		if (limit <= HELLO_S)
			exit(STATUS_TIME_LIMIT);
		evctl_die(STATUS_NO_DAEMON,
		    "the daemon at %s does not answer within %d s: pid %d, "
		    "which listens there, is stopped, or is not evd",
		    wire->path, HELLO_S, (int)socket_listener_pid(wire->fd));
	}
	wire_check_hello(wire, message);
	buffer_fini(&wire->out);
	wire->out = queued;
	wire->n_fds = n_fds;
}
