#include "config.h"

#include "fdqueue.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "closer.h"
#include "memory.h"

enum fdqueue_state {
	ENTRY_KEPT,
	ENTRY_REFUSED, /* over a limit: the queue's refusal */
	ENTRY_LOST,    /* the kernel dropped it, and all behind it */
};

/* A descriptor, or how many in a row could not be kept. */
struct fdqueue_entry {
	int fd; /* owned and charged; -1 where there is none */
	enum fdqueue_state state;
	size_t count;
	uint64_t begin, end; /* of the read that brought it */
};

void
fdqueue_init(struct fdqueue *q, struct account *account)
{
	*q = (struct fdqueue){ .account = account };
}

void
fdqueue_close(struct account *account, int fd)
{
	if (fd < 0)
		return;
	closer_close(fd);
	account_discharge(account, LIMIT_DESCRIPTORS, 1);
}

static struct fdqueue_entry *
fdqueue_first(const struct fdqueue *q)
{
	return &q->entries[q->first];
}

/*
 * The i-th entry that can belong to the line that was entered: what came with
 * a read that began behind it was passed later.  NULL: there are no more.
 */
static struct fdqueue_entry *
fdqueue_visible(const struct fdqueue *q, size_t i)
{
	if (i >= q->n || fdqueue_first(q)[i].begin >= q->line_end)
		return NULL;
	return &fdqueue_first(q)[i];
}

/* Drops the first entry; its descriptor, if any, is the caller's. */
static void
fdqueue_shift(struct fdqueue *q)
{
	q->first++;
	if (--q->n > 0)
		return;
	free(q->entries);
	q->entries = NULL;
	q->first = q->size = 0;
}

static void
fdqueue_close_first(struct fdqueue *q)
{
	fdqueue_close(q->account, fdqueue_first(q)->fd);
	fdqueue_shift(q);
}

static void
fdqueue_close_visible(struct fdqueue *q)
{
	while (fdqueue_visible(q, 0) != NULL)
		fdqueue_close_first(q);
}

void
fdqueue_fini(struct fdqueue *q)
{
	while (q->n > 0)
		fdqueue_close_first(q);
}

/* --- receiving ------------------------------------------------------------ */

static void
fdqueue_push(struct fdqueue *q, const struct fdqueue_entry *entry)
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
	q->entries[q->first + q->n++] = *entry;
}

/*
 * One that could not be kept.  Those in a row are one entry, so that what
 * nobody is charged for takes no more room than what somebody is.
 */
static void
fdqueue_push_missing(struct fdqueue *q, struct fdqueue_entry *entry)
{
	struct fdqueue_entry *last = q->n == 0 ? NULL :
						 &fdqueue_first(q)[q->n - 1];

	if (last != NULL && last->state == ENTRY_LOST)
		return;
	if (last != NULL && last->state != ENTRY_KEPT &&
	    entry->state != ENTRY_LOST)
		last->count++;
	else
		fdqueue_push(q, entry);
}

static void
fdqueue_receive_one(struct fdqueue *q, struct fdqueue_entry *entry)
{
	entry->state = ENTRY_KEPT;
	if (account_check_fd(q->account, entry->fd, &q->refusal) < 0 ||
	    account_charge(q->account, LIMIT_DESCRIPTORS, 1, &q->refusal) < 0)
		entry->state = ENTRY_REFUSED;
	if (entry->state == ENTRY_KEPT) {
		fdqueue_push(q, entry);
		return;
	}
	closer_close(entry->fd);
	entry->fd = -1;
	fdqueue_push_missing(q, entry);
}

void
fdqueue_receive(struct fdqueue *q, struct msghdr *msg, uint64_t begin,
    uint64_t end)
{
	struct fdqueue_entry entry = { .count = 1, .begin = begin, .end = end };
	struct cmsghdr *cmsg;

	for (cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			memcpy(&entry.fd, CMSG_DATA(cmsg) + i * sizeof(int),
			    sizeof(int));
			fdqueue_receive_one(q, &entry);
		}
	}
	if (msg->msg_flags & MSG_CTRUNC) {
		entry.fd = -1;
		entry.state = ENTRY_LOST;
		account_check_fd(q->account, INT_MAX, &q->refusal);
		fdqueue_push_missing(q, &entry);
	}
}

/* --- lines ---------------------------------------------------------------- */

/*
 * How many are left of the read that the first entry came with, if the line
 * that was entered has the end of a later one that brought some; else 0.
 */
static size_t
fdqueue_count_stale(const struct fdqueue *q)
{
	const struct fdqueue_entry *first = fdqueue_visible(q, 0), *entry;
	size_t n = 0;

	for (size_t i = 0; (entry = fdqueue_visible(q, i)) != NULL; i++) {
		if (entry->end != first->end)
			return entry->end <= q->line_end ? n : 0;
		n += entry->count;
	}
	return 0;
}

int
fdqueue_enter_line(struct fdqueue *q, uint64_t end, struct error *error)
{
	size_t stale;

	q->line_end = end;
	if (q->n == 0)
		return 0;
	stale = fdqueue_count_stale(q);
	/* What was lost has no number, so that nothing of it can be left. */
	if (stale > 0 && fdqueue_first(q)->state == ENTRY_LOST) {
		fdqueue_shift(q);
		stale = fdqueue_count_stale(q);
	}
	if (stale == 0)
		return 0;
	fdqueue_close_visible(q);
	return error_set(error, ERROR_INVALID_ARGUMENT,
	    "descriptors passed with earlier lines were not taken (%zu), "
	    "expected each line to say in \"fds\" how many it takes; all that "
	    "were passed up to here are closed",
	    stale);
}

/*
 * Takes the next one, or a -1 for one that is not there or could not be kept.
 * Returns whether there was one.
 */
static bool
fdqueue_take_one(struct fdqueue *q, int *fd, bool *refused)
{
	struct fdqueue_entry *entry = fdqueue_visible(q, 0);

	*fd = -1;
	if (entry == NULL)
		return false;
	if (entry->state != ENTRY_KEPT)
		*refused = true;
	if (entry->state == ENTRY_LOST) {
		/*
		 * It stands for all the rest of its read; if more came since,
		 * none knows where the rest ends.
		 */
		if (fdqueue_visible(q, 1) != NULL)
			fdqueue_close_visible(q);
		return true;
	}
	*fd = entry->fd;
	if (--entry->count == 0)
		fdqueue_shift(q);
	return true;
}

int
fdqueue_take(struct fdqueue *q, size_t n, int *fds, struct error *error)
{
	bool refused = false;
	size_t there = 0;

	for (size_t i = 0; i < n; i++)
		there += fdqueue_take_one(q, &fds[i], &refused);
	if (!refused && there == n)
		return 0;
	for (size_t i = 0; i < n; i++)
		fdqueue_close(q->account, fds[i]);
	if (refused) {
		*error = q->refusal;
		return -1;
	}
	return error_set(error, ERROR_INVALID_ARGUMENT,
	    "member \"fds\" is %zu, expected at most %zu, the descriptors that "
	    "have come; they are closed",
	    n, there);
}

void
fdqueue_drop(struct fdqueue *q, uint64_t end)
{
	while (q->n > 0 && fdqueue_first(q)->end <= end)
		fdqueue_close_first(q);
}
