#include "config.h"

#include "fdqueue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "memory.h"

enum fdqueue_state {
	ENTRY_KEPT,
	ENTRY_OVER_LIMIT, /* the account's */
	ENTRY_OVER_TABLE, /* the process's: would leave no reserve */
	ENTRY_LOST,	  /* the kernel dropped it, and all behind it */
};

struct fdqueue_entry {
	int fd;
	enum fdqueue_state state;
	uint64_t end; /* of the read that brought it */
};

void
fdqueue_init(struct fdqueue *q, struct account *account, int fd_limit)
{
	*q = (struct fdqueue){ .account = account, .fd_limit = fd_limit };
}

void
fdqueue_close(struct account *account, int fd)
{
	if (fd < 0)
		return;
	close(fd);
	account_discharge(account, LIMIT_DESCRIPTORS, 1);
}

static struct fdqueue_entry *
fdqueue_first(const struct fdqueue *q)
{
	return &q->entries[q->first];
}

/* Takes the first entry out; its descriptor, if any, is the caller's. */
static struct fdqueue_entry
fdqueue_shift(struct fdqueue *q)
{
	struct fdqueue_entry entry = *fdqueue_first(q);

	q->first++;
	if (--q->n > 0)
		return entry;
	free(q->entries);
	q->entries = NULL;
	q->first = q->size = 0;
	return entry;
}

static void
fdqueue_close_all(struct fdqueue *q)
{
	while (q->n > 0)
		fdqueue_close(q->account, fdqueue_shift(q).fd);
}

void
fdqueue_fini(struct fdqueue *q)
{
	fdqueue_close_all(q);
}

static void
fdqueue_push(struct fdqueue *q, int fd, enum fdqueue_state state, uint64_t end)
{
	if (q->first + q->n == q->size) {
		if (q->first > 0)
			memmove(q->entries, fdqueue_first(q),
			    q->n * sizeof(*q->entries));
		q->first = 0;
		q->size = q->n < 4 ? 8 : 2 * q->n;
		q->entries = memory_realloc(q->entries,
		    q->size * sizeof(*q->entries));
	}
	q->entries[q->first + q->n++] = (struct fdqueue_entry){ fd, state,
		end };
}

static void
fdqueue_receive_one(struct fdqueue *q, int fd, uint64_t end)
{
	enum fdqueue_state state = ENTRY_KEPT;

	if (fd >= q->fd_limit)
		state = ENTRY_OVER_TABLE;
	else if (account_charge(q->account, LIMIT_DESCRIPTORS, 1, &q->refusal) <
	    0)
		state = ENTRY_OVER_LIMIT;
	if (state != ENTRY_KEPT) {
		close(fd);
		fd = -1;
	}
	fdqueue_push(q, fd, state, end);
}

void
fdqueue_receive(struct fdqueue *q, struct msghdr *msg, uint64_t end)
{
	struct cmsghdr *cmsg;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int),
			    sizeof(int));
			fdqueue_receive_one(q, fd, end);
		}
	}
	if (msg->msg_flags & MSG_CTRUNC) {
		log_warning("descriptors passed to evd were lost: its table "
			    "is full");
		fdqueue_push(q, -1, ENTRY_LOST, end);
	}
}

int
fdqueue_enter_line(struct fdqueue *q, uint64_t end, struct error *error)
{
	size_t left = 0;
	uint64_t oldest;

	if (q->n == 0)
		return 0;
	/* Is there an arrival in this line, and an entry of an earlier one? */
	oldest = fdqueue_first(q)->end;
	for (size_t i = 0; i < q->n; i++) {
		uint64_t arrival = fdqueue_first(q)[i].end;

		if (arrival == oldest)
			left++;
		else if (arrival <= end) {
			fdqueue_close_all(q);
			return error_set(error, ERROR_INVALID_ARGUMENT,
			    "member \"fds\": %zu descriptors that came with "
			    "earlier lines were not taken by them, expected "
			    "each line to say how many it takes; all were "
			    "closed",
			    left);
		} else {
			break;
		}
	}
	return 0;
}

static int
fdqueue_refuse(const struct fdqueue *q, enum fdqueue_state state,
    struct error *error)
{
	if (state == ENTRY_OVER_LIMIT) {
		*error = q->refusal;
		return -1;
	}
	return error_set(error, ERROR_LIMIT_EXCEEDED,
	    "too many descriptors: the daemon has no room for more than %d in "
	    "all (its RLIMIT_NOFILE)",
	    q->fd_limit);
}

int
fdqueue_take(struct fdqueue *q, size_t n, int *fds, struct error *error)
{
	enum fdqueue_state refused = ENTRY_KEPT;
	size_t there = q->n;

	for (size_t i = 0; i < n; i++) {
		struct fdqueue_entry entry;

		fds[i] = -1;
		if (q->n == 0)
			continue;
		entry = fdqueue_shift(q);
		fds[i] = entry.fd;
		if (entry.state != ENTRY_KEPT)
			refused = entry.state;
		if (entry.state == ENTRY_LOST)
			fdqueue_close_all(q);
	}
	if (refused == ENTRY_KEPT && there >= n)
		return 0;
	for (size_t i = 0; i < n; i++)
		fdqueue_close(q->account, fds[i]);
	if (refused != ENTRY_KEPT)
		return fdqueue_refuse(q, refused, error);
	return error_set(error, ERROR_INVALID_ARGUMENT,
	    "member \"fds\" is %zu, expected at most %zu, the descriptors that "
	    "have come; they were closed",
	    n, there);
}

void
fdqueue_drop(struct fdqueue *q, uint64_t end)
{
	while (q->n > 0 && fdqueue_first(q)->end <= end)
		fdqueue_close(q->account, fdqueue_shift(q).fd);
}
