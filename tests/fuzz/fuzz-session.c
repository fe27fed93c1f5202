#include "config.h"

#include "fuzz.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "buffer.h"
#include "log.h"
#include "memory.h"
#include "message.h"
#include "server.h"
#include "socket.h"

#include "../fakeclock.h"

/*
 * The whole daemon, in this process, with two clients that send what the
 * input says (fuzz.h has the actions) on a clock of ours.
 *
 * What must hold: each line that evd sends is JSON; each line that it was
 * sent has one reply, in order and with its id byte for byte, but a line
 * with "reply":false only an error; the seq of events counts up; nothing
 * comes after "bye"; evd closes of itself only when it has answered all; and
 * libev is content and no memory is left in the end.
 *
 * The linker gives server_run() our ev_run(), and that is the play.
 */
int __real_ev_run(struct ev_loop *loop, int flags);
int __wrap_ev_run(struct ev_loop *loop, int flags);

#define CLIENTS 2
#define FDS	8 /* that one message brings */
#define FILL	30000
/* What is sent again, as often as this, and bytes in all. */
#define AGAIN_TIMES 300
#define AGAIN_BYTES 16384
/* Iterations in which nothing comes: it has said all, or is stuck. */
#define ROUNDS_QUIET 5
#define ROUNDS_STUCK 3000
#define SECONDS_MAX  20

/* A line that was sent, and not answered yet. */
struct sent {
	TAILQ_ENTRY(sent) entry;
	uint64_t number;
	bool silent; /* if it is executed there is no reply */
	char *begin; /* of the reply: { and the id */
};

struct fuzz_client {
	int fd; /* -1: not connected */
	bool reading;
	bool ended;    /* the input */
	bool said_bye; /* evd */
	bool skipping; /* the rest of an over-long line */
	int fds[FDS];  /* to go with the next bytes */
	size_t n_fds;
	struct buffer chunk;
	struct buffer line; /* the last, not complete yet */
	struct buffer in;
	uint64_t lines;
	uint64_t seq;
	TAILQ_HEAD(sent_list, sent) sent;
};

static char fuzz_dir[] = "/tmp/evd-fuzz-XXXXXX";
static char fuzz_path[sizeof(fuzz_dir) + sizeof("/socket")];
static struct buffer_pool fuzz_pool;
static struct fuzz_client fuzz_clients[CLIENTS];
static int fuzz_pipe[2]; /* there is something to read */
static int fuzz_null;
static const unsigned char *fuzz_data;
static size_t fuzz_size;
static bool fuzz_exiting;

/* --- what was sent ------------------------------------------------------- */

/* What the reply to a line begins with; "{" if it has no id. */
static char *
line_reply_begin(const struct message *m)
{
	const struct member *id = message_find(m, "id");
	size_t len = 0;
	char *begin;

	if (id != NULL && id->raw.len <= JSON_SIZE_MAX)
		len = id->raw.len;
	begin = memory_alloc(len + sizeof("{\"id\":,"));
	if (len > 0)
		sprintf(begin, "{\"id\":%.*s,", (int)len, id->raw.p);
	else
		strcpy(begin, "{");
	return begin;
}

/* A line has been sent; of one that is too long nothing is known. */
static void
client_add_sent(struct fuzz_client *c)
{
	struct sent *sent = memory_zalloc(sizeof(*sent));
	const struct member *reply;
	struct message m;
	struct error error;

	message_init(&m);
	if (buffer_len(&c->line) == 0 || c->skipping ||
	    message_parse(&m, buffer_data(&c->line), buffer_len(&c->line),
		&error) < 0)
		m.n = 0;
	reply = message_find(&m, "reply");
	sent->number = ++c->lines;
	sent->silent = reply != NULL && reply->kind == MEMBER_FALSE;
	sent->begin = line_reply_begin(&m);
	TAILQ_INSERT_TAIL(&c->sent, sent, entry);
	message_fini(&m);
	buffer_clear(&c->line);
}

static void
client_forget_sent(struct fuzz_client *c, struct sent *sent)
{
	TAILQ_REMOVE(&c->sent, sent, entry);
	free(sent->begin);
	free(sent);
}

/* The bytes that evd got, cut into lines as it should cut them. */
static void
client_cut_lines(struct fuzz_client *c, const char *bytes, size_t n)
{
	while (n > 0) {
		const char *lf = memchr(bytes, '\n', n);
		size_t len = lf == NULL ? n : (size_t)(lf - bytes);

		if (!c->skipping && len > 0 &&
		    len < LINE_SIZE_MAX - buffer_len(&c->line)) {
			buffer_append(&c->line, bytes, len);
		} else if (!c->skipping && len > 0) {
			c->skipping = true;
			client_add_sent(c);
		}
		if (lf == NULL)
			break;
		if (!c->skipping)
			client_add_sent(c);
		c->skipping = false;
		n -= len + 1;
		bytes = lf + 1;
	}
}

/* --- what came ----------------------------------------------------------- */

static void
client_check_event(struct fuzz_client *c, json_t *event)
{
	const char *type = json_string_value(json_object_get(event, "event"));

	if (strcmp(type, "bye") == 0) {
		c->said_bye = true;
		return;
	}
	must(json_integer_value(json_object_get(event, "seq")) ==
		(json_int_t)++c->seq,
	    "not seq %ju", (uintmax_t)c->seq);
	must(json_is_integer(json_object_get(event, "revents")), "revents");
	must(json_is_real(json_object_get(event, "time")), "time");
	must(json_object_get(event, "watcher") != NULL, "watcher");
}

/*
 * The reply is to the first line without one; but lines that need none are
 * passed over, unless it is an error, which tells its line.
 */
static void
client_check_reply(struct fuzz_client *c, json_t *reply, const char *line,
    size_t len)
{
	json_t *error = json_object_get(reply, "error");
	json_int_t number = json_integer_value(json_object_get(error, "line"));
	struct sent *sent;

	must((error != NULL) != (json_object_get(reply, "result") != NULL),
	    "neither result nor error, or both");
	while ((sent = TAILQ_FIRST(&c->sent)) != NULL) {
		if (error != NULL ? (json_int_t)sent->number == number :
				    !sent->silent)
			break;
		must(sent->silent, "no reply to line %ju",
		    (uintmax_t)sent->number);
		client_forget_sent(c, sent);
	}
	must(sent != NULL, "a reply to nothing: %.*s", (int)len, line);
	must(len > strlen(sent->begin) &&
		memcmp(line, sent->begin, strlen(sent->begin)) == 0,
	    "%.*s does not begin with %s", (int)len, line, sent->begin);
	client_forget_sent(c, sent);
}

static void
client_check_line(struct fuzz_client *c, const char *line, size_t len)
{
	json_t *json = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);

	must(json_is_object(json), "not JSON: %.*s", (int)len, line);
	must(!c->said_bye, "after bye: %.*s", (int)len, line);
	if (json_object_get(json, "event") != NULL)
		client_check_event(c, json);
	else
		client_check_reply(c, json, line, len);
	json_decref(json);
}

static void
client_check_input(struct fuzz_client *c)
{
	const char *lf;

	while (buffer_len(&c->in) > 0) {
		lf = memchr(buffer_data(&c->in), '\n', buffer_len(&c->in));
		if (lf == NULL)
			break;
		client_check_line(c, buffer_data(&c->in),
		    lf - buffer_data(&c->in));
		buffer_consume(&c->in, lf + 1 - buffer_data(&c->in));
	}
}

/* The first line that must have a reply and has none. */
static const struct sent *
client_find_unanswered(const struct fuzz_client *c)
{
	const struct sent *sent;

	if (c->fd < 0 || c->said_bye || fuzz_exiting)
		return NULL;
	TAILQ_FOREACH(sent, &c->sent, entry)
		if (!sent->silent)
			return sent;
	return NULL;
}

/* evd has closed: has it the right to?  An end by signal leaves the backlog. */
static void
client_check_end(const struct fuzz_client *c)
{
	const struct sent *sent = client_find_unanswered(c);

	must(buffer_len(&c->in) == 0, "the last line has no LF");
	must(c->said_bye || c->ended || fuzz_exiting, "closed without a word");
	must(sent == NULL, "closed before line %ju", (uintmax_t)sent->number);
}

/* --- a client ------------------------------------------------------------ */

static void
client_connect(struct fuzz_client *c)
{
	int fd = socket_connect(fuzz_path);

	must(fd >= 0, "connect: %s", strerror(-fd));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	*c = (struct fuzz_client){ .fd = fd, .reading = true };
	buffer_init(&c->chunk, &fuzz_pool);
	buffer_init(&c->line, &fuzz_pool);
	buffer_init(&c->in, &fuzz_pool);
	TAILQ_INIT(&c->sent);
}

static void
client_disconnect(struct fuzz_client *c)
{
	struct sent *sent;

	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	while ((sent = TAILQ_FIRST(&c->sent)) != NULL)
		client_forget_sent(c, sent);
	buffer_fini(&c->chunk);
	buffer_fini(&c->line);
	buffer_fini(&c->in);
}

/* Returns whether anything came. */
static bool
client_read(struct fuzz_client *c)
{
	ssize_t n;

	if (c->fd < 0 || !c->reading)
		return false;
	n = recv(c->fd, buffer_reserve(&c->in, 65536), 65536, MSG_DONTWAIT);
	if (n > 0) {
		buffer_commit(&c->in, (size_t)n);
		client_check_input(c);
	} else if (n == 0) {
		client_check_end(c);
		client_disconnect(c);
	} else {
		must(errno == EAGAIN, "recv: %s", strerror(errno));
	}
	return n >= 0;
}

/* One iteration; returns whether anything came of it. */
static bool
fuzz_iterate(struct ev_loop *loop)
{
	bool came = false;

	__real_ev_run(loop, EVRUN_NOWAIT);
	ev_verify(loop);
	for (int i = 0; i < CLIENTS; i++)
		came |= client_read(&fuzz_clients[i]);
	return came;
}

/* Writes, and passes what is to go with the first byte. */
static ssize_t
client_write(struct fuzz_client *c, const char *bytes, size_t n)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(c->fds))];
	} control;
	struct iovec iov = { (char *)bytes, n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	size_t size = c->n_fds * sizeof(int);
	ssize_t written;

	if (c->n_fds > 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(size);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(size);
		memcpy(CMSG_DATA(&control.header), c->fds, size);
	}
	written = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
	if (written > 0)
		c->n_fds = 0;
	return written;
}

/* Sends the chunk.  Who does not read may have to, so that evd reads. */
static void
client_send(struct fuzz_client *c, struct ev_loop *loop)
{
	size_t done = 0;
	int quiet = 0;

	while (c->fd >= 0 && done < buffer_len(&c->chunk)) {
		const char *bytes = buffer_data(&c->chunk) + done;
		ssize_t n = client_write(c, bytes,
		    buffer_len(&c->chunk) - done);

		if (n < 0 && errno != EAGAIN)
			break; /* evd has closed: that is read later */
		if (n > 0) {
			client_cut_lines(c, bytes, (size_t)n);
			done += (size_t)n;
			quiet = 0;
		} else if (++quiet > ROUNDS_QUIET) {
			c->reading = true;
			if (fuzz_exiting)
				break;
			must(quiet < ROUNDS_STUCK, "evd reads no more");
		}
		/* It may have thousands of lines, and wait for each. */
		if (fuzz_iterate(loop) && quiet > ROUNDS_QUIET)
			quiet = ROUNDS_QUIET;
	}
	buffer_clear(&c->chunk);
}

static void
client_end_input(struct fuzz_client *c)
{
	if (c->fd < 0 || c->ended)
		return;
	shutdown(c->fd, SHUT_WR);
	c->ended = true;
	if (buffer_len(&c->line) > 0)
		client_add_sent(c);
}

static void
client_fill(struct fuzz_client *c)
{
	memset(buffer_reserve(&c->chunk, FILL), ' ', FILL);
	buffer_commit(&c->chunk, FILL);
}

static void
client_repeat(struct fuzz_client *c)
{
	size_t len = buffer_len(&c->chunk);

	if (len == 0)
		return;
	for (int i = 0; i < AGAIN_TIMES; i++) {
		if (buffer_len(&c->chunk) + len > AGAIN_BYTES)
			break;
		buffer_reserve(&c->chunk, len);
		buffer_append(&c->chunk, buffer_data(&c->chunk), len);
	}
}

/* --- the play ------------------------------------------------------------ */

static void
fuzz_act(struct ev_loop *loop, struct fuzz_client *c, enum fuzz_action action)
{
	static const double jumps[] = { 3, -0.5, 1.5, -0.75 };
	static unsigned int n_jumps;

	if (action == FUZZ_FILL && c->fd >= 0)
		client_fill(c);
	else if (action == FUZZ_AGAIN)
		client_repeat(c);
	client_send(c, loop);
	switch (action) {
	case FUZZ_PASS:
		fakeclock_advance(0.01);
		break;
	case FUZZ_PASS_LONG:
		fakeclock_advance(0.3);
		break;
	case FUZZ_READING:
		c->reading = !c->reading;
		break;
	case FUZZ_END_INPUT:
		client_end_input(c);
		break;
	case FUZZ_CLOSE:
		client_disconnect(c);
		break;
	case FUZZ_CLOCK:
		fakeclock_jump(jumps[n_jumps++ % 4]);
		break;
	case FUZZ_EXIT:
		if (!fuzz_exiting)
			raise(SIGTERM);
		fuzz_exiting = true;
		break;
	case FUZZ_FD:
	case FUZZ_FD_NULL:
		if (c->n_fds < FDS)
			c->fds[c->n_fds++] = action == FUZZ_FD ? fuzz_pipe[0] :
								 fuzz_null;
		break;
	case FUZZ_CUT:
	case FUZZ_OTHER:
	case FUZZ_FILL:
	case FUZZ_AGAIN:
		break;
	}
	fuzz_iterate(loop);
}

static void
fuzz_play_byte(struct ev_loop *loop, struct fuzz_client *c, unsigned char byte)
{
	if (c->fd < 0 && !fuzz_exiting)
		client_connect(c);
	if (fuzz_is_action(byte))
		fuzz_act(loop, c, byte);
	else if (c->fd >= 0)
		buffer_putc(&c->chunk, (char)byte);
}

static void
fuzz_play_input(struct ev_loop *loop)
{
	int current = 0;

	for (size_t i = 0; i < fuzz_size; i++) {
		fuzz_play_byte(loop, &fuzz_clients[current], fuzz_data[i]);
		if (fuzz_data[i] == FUZZ_OTHER)
			current = (current + 1) % CLIENTS;
	}
	client_send(&fuzz_clients[current], loop);
}

/* Reads on while no time passes, until evd has nothing more to say. */
static void
fuzz_drain(struct ev_loop *loop)
{
	const struct sent *sent = NULL;
	int quiet = 0;

	while (quiet++ < ROUNDS_QUIET || sent != NULL) {
		if (fuzz_iterate(loop))
			quiet = 0;
		sent = NULL;
		for (int i = 0; i < CLIENTS && sent == NULL; i++)
			sent = client_find_unanswered(&fuzz_clients[i]);
		must(quiet < ROUNDS_STUCK, "no reply to line %ju",
		    (uintmax_t)sent->number);
	}
}

static void
fuzz_finish(struct ev_loop *loop)
{
	for (int i = 0; i < CLIENTS; i++)
		fuzz_clients[i].reading = true;
	fuzz_drain(loop);
	for (int i = 0; i < CLIENTS; i++)
		client_end_input(&fuzz_clients[i]);
	fuzz_drain(loop);
	for (int i = 0; i < CLIENTS; i++)
		client_disconnect(&fuzz_clients[i]);
	fuzz_drain(loop);
}

int
__wrap_ev_run(struct ev_loop *loop, int flags)
{
	(void)flags;
	fuzz_exiting = false;
	for (int i = 0; i < CLIENTS; i++)
		fuzz_clients[i].fd = -1;
	fuzz_play_input(loop);
	fuzz_finish(loop);
	return 0;
}

static void
fuzz_remove_dir(void)
{
	rmdir(fuzz_dir);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	memory_init();
	log_set_level(LEVEL_ERROR);
	must(mkdtemp(fuzz_dir) != NULL, "%s: %s", fuzz_dir, strerror(errno));
	snprintf(fuzz_path, sizeof(fuzz_path), "%s/socket", fuzz_dir);
	atexit(fuzz_remove_dir);
	fuzz_null = open("/dev/null", O_RDWR | O_CLOEXEC);
	must(fuzz_null >= 0, "/dev/null: %s", strerror(errno));
	must(pipe(fuzz_pipe) == 0, "pipe: %s", strerror(errno));
	must(write(fuzz_pipe[1], "x", 1) == 1, "write: %s", strerror(errno));
	return 0;
}

/*
 * libFuzzer's own time limit would look at our clock.  This one is the system's;
 * abort() saves the input.
 */
static void
fuzz_on_alarm(int signum)
{
	static const char text[] = "not done in time\n";

	(void)signum;
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	abort();
}

static void
fuzz_limit(unsigned int seconds)
{
	signal(SIGALRM, seconds > 0 ? fuzz_on_alarm : SIG_IGN);
	alarm(seconds);
}

/* If one is left open, it is the first that was free before. */
static int
fuzz_lowest_free(void)
{
	int fd = dup(fuzz_null);

	must(fd >= 0, "dup: %s", strerror(errno));
	close(fd);
	return fd;
}

int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	static const struct server_options options = {
		.fd = -1,
		.path = fuzz_path,
		.mode = 0600,
		.exit_idle = -1,
		.no_spawn = true, /* programs of the fuzzer's would be real */
		.uid_limits = { [LIMIT_WATCHERS] = 40,
		    [LIMIT_BYTES] = 4000,
		    [LIMIT_DESCRIPTORS] = 8 },
		.session_limits = { [LIMIT_WATCHERS] = 30,
		    [LIMIT_BYTES] = 3000,
		    [LIMIT_DESCRIPTORS] = 6 },
	};
	struct timespec now;
	sigset_t none;
	struct server *server;
	int open_before = fuzz_lowest_free();

	fuzz_data = data;
	fuzz_size = size;
	fuzz_limit(SECONDS_MAX);
	clock_gettime(CLOCK_REALTIME, &now);
	fakeclock_start(1000, (double)now.tv_sec);
	server = server_new(&options);
	must(server != NULL, "no server");
	server_run(server);
	server_free(server);
	fakeclock.on = false;
	/* Signals that clients watched; libFuzzer has uses of its own. */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	fuzz_limit(0);
	must(fuzz_lowest_free() == open_before, "a descriptor is left open");
	return 0;
}
