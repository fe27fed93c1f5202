#ifndef EVCTL_TEXT_H
#define EVCTL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "buffer.h"

/*
 * What others have chosen, made fit for a terminal: what is printable where
 * we are stays as it is, and everything else (control characters, those that
 * turn the direction of writing, bytes that are no UTF-8) is shown by its
 * bytes, \xNN.
 */
void text_put(struct buffer *, const char *, size_t len);

/* The same for a line of JSON, which remains the same JSON: by \uNNNN. */
void text_put_json(struct buffer *, const char *, size_t len);

/* Of text that text_put() has written: how wide it is on a terminal. */
size_t text_columns(const char *, size_t len);
/* How many of its bytes fit into so many columns. */
size_t text_cut(const char *, size_t len, size_t columns);

/* A time of the wall clock, with milliseconds, in our time zone. */
void text_put_time(struct buffer *, double seconds);

#endif
