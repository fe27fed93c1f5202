#ifndef EVD_CONNECTION_H
#define EVD_CONNECTION_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "buffer.h"
#include "fdpoll.h"
#include "fdqueue.h"
#include "message.h"
#include "peer.h"
#include "stats.h"

/*
 * One client's socket: bytes in, cut into lines, and bytes out.  It knows
 * nothing of what the lines say.
 *
 * Whoever owns it is called when there may be something to do (on_ready),
 * and then pulls: connection_fill(), connection_next_line() as often as is
 * fair, connection_flush().
 */
struct connection {
	int fd; /* owned */
	struct ev_loop *loop;
	struct stats *stats;	/* borrowed */
	struct fdpoll *hangups; /* borrowed: where a half-closed one waits */
	struct ev_io reader;
	struct ev_io writer;
	struct fdpoll_item hangup;
	struct peer peer;
	struct fdqueue fds; /* the account in it is the owner's to set */
	struct buffer in;
	struct buffer out;
	size_t scanned;	   /* bytes of in that hold no LF */
	uint64_t lines;	   /* received, and cut off by connection_next_line() */
	uint64_t received; /* bytes */
	bool readable;	   /* as far as is known */
	bool skipping;	   /* the rest of an over-long line */
	bool eof;	   /* of the input */
	bool gone; /* the peer takes nothing any more: output is dropped */
	void (*on_ready)(struct connection *);
};

enum line_state {
	LINE_NONE, /* no complete one */
	LINE_READ,
	LINE_TOO_LONG, /* was skipped, or is being skipped */
};

/* Takes the descriptor, which must not block. */
void connection_init(struct connection *, int fd, struct ev_loop *,
    struct fdpoll *hangups, struct buffer_pool *, struct stats *);
/* Closes it. */
void connection_fini(struct connection *);

/* Reads once, if there is room for it.  Returns whether anything came. */
bool connection_fill(struct connection *);

/* The next line; its bytes stay until the next call of any function here. */
enum line_state connection_next_line(struct connection *, struct line *);
/* Whether connection_next_line() would return something. */
bool connection_has_line(struct connection *);
/* All that the peer ever sent was given out as lines. */
bool connection_is_drained(struct connection *);

/* Writes what is in out, as far as the peer takes it without waiting. */
void connection_flush(struct connection *);

/*
 * Before the daemon closes on its own account: reads and drops what the peer
 * has sent, because closing with data unread makes an error of the peer's
 * end of file.
 */
void connection_discard(int fd, struct buffer_pool *);

/* Between calls: no large block is kept for a few bytes. */
void connection_rest(struct connection *);

#endif
