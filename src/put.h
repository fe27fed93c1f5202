#ifndef EVD_PUT_H
#define EVD_PUT_H

#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

/* JSON text, written straight into a buffer. */

void put_u64(struct buffer *, uint64_t);
void put_i64(struct buffer *, int64_t);
/* With zeros before it, so that there are so many digits; not less than it has. */
void put_decimals(struct buffer *, uint64_t, int digits);

/* Seconds with six decimals, rounded to the nearest; nan and huge: null. */
void put_time(struct buffer *, double seconds);
/* The same with nine. */
void put_time_ns(struct buffer *, double seconds);

/* The shortest text that reads back as the same double. */
void put_double(struct buffer *, double);

/*
 * A string with its quotes.  Quotes, backslashes and control characters are
 * escaped; the bytes must be UTF-8.
 */
void put_string(struct buffer *, const char *, size_t);

/* An errno by its name, as a string: "ENOENT". */
void put_errno(struct buffer *, int err);

/* ,"key": for a literal key. */
#define put_key(b, key) buffer_puts((b), ",\"" key "\":")

/* The same, without the comma behind an opening brace. */
void put_member(struct buffer *, const char *key);

#endif
