#ifndef EVD_FDQUEUE_H
#define EVD_FDQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "account.h"
#include "message.h"

/*
 * Descriptors that a client has passed, until the lines that go with them
 * take them.
 *
 * They come with a read of the socket, and the kernel ends a read behind the
 * message that brought some, or inside of it, but not before its first byte.
 * So the lines that they belong to end behind the first byte of that read,
 * and none of them begins behind its last one.  When the line with the last
 * byte is reached, all that earlier reads brought must have been taken: what
 * is left there would pair up wrong.  And a line that asks for more than
 * were passed with it gets none of those that a read has brought which began
 * behind the line, however far evd has read ahead.
 *
 * A descriptor that could not be kept (a limit, no room in the process's
 * table) stands in the queue by its reason, so that the pairing stays right
 * and the line that takes it is the one refused.
 */
#define FDS_MAX 253 /* of one sendmsg(2): the kernel's SCM_MAX_FD */

struct fdqueue {
	struct account *account; /* borrowed: what is queued is charged there */
	struct fdqueue_entry *entries;
	size_t first, n, size;
	uint64_t line_end;    /* of the line that was entered last */
	struct error refusal; /* of what was not kept, last */
};

void fdqueue_init(struct fdqueue *, struct account *);
/* Closes all that is queued. */
void fdqueue_fini(struct fdqueue *);

/*
 * Takes the descriptors of a message received; begin and end are the places
 * in the stream of the bytes that came with it.
 */
void fdqueue_receive(struct fdqueue *, struct msghdr *, uint64_t begin,
    uint64_t end);

/*
 * The line that ends at this place is the next to take any.  Returns 0, or -1
 * with the error after closing everything that was passed up to it.
 */
int fdqueue_enter_line(struct fdqueue *, uint64_t end, struct error *);

/*
 * Takes n descriptors, which are the caller's then, and stay charged until
 * fdqueue_close().  Returns 0, or -1 with the error: then it has closed all
 * that the line asked for, and if that was more than there are, everything
 * that was passed up to it.
 */
int fdqueue_take(struct fdqueue *, size_t n, int *fds, struct error *);

/* Drops what came up to this place, with a line that can't be read. */
void fdqueue_drop(struct fdqueue *, uint64_t end);

/* Closes a descriptor that was charged to the account. */
void fdqueue_close(struct account *, int fd);

#endif
