#ifndef EVD_BATCH_H
#define EVD_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "session.h"

/*
 * What a session writes, and when: see the queues of session.h.
 *
 * A batch is what was ready when the one before it was written, by priority
 * and then by firing.  It begins when enough was gathered (gather.h), or of
 * idles when nothing is ready; the checks that wait are fired before it and
 * the prepares behind it.  It may take several writes, and goes on where it
 * was.
 */

/* Writes events while less than size bytes are in the buffer. */
void batch_write_events(struct session *, struct buffer *, size_t size);

/* Whether any event is ready to be written. */
bool batch_has_ready(const struct session *);
/* The same, or will be as there is nothing else; and it is time for it. */
bool batch_has_work(const struct session *);

/* The number of the batch that ends what is ready now. */
uint64_t batch_last(const struct session *);
/* Whether the batch of that number and all before it are written. */
bool batch_is_written(const struct session *, uint64_t);
/*
 * The input has ended, and nothing is left that could ever be written: as
 * ev_run() returns when no watcher is active.
 */
bool batch_was_last(const struct session *);

#endif
