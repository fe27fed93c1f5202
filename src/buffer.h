#ifndef EVD_BUFFER_H
#define EVD_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/*
 * A queue of bytes: appended at the end, consumed from the front.  A buffer
 * that is empty holds no memory: it gives its block to a pool, from which the
 * next one takes it.  So a thousand quiet connections cost nothing, and a
 * busy one does not allocate.
 */
#define BUFFER_POOL_BLOCKS   8
#define BUFFER_POOL_SIZE_MAX (512 * 1024)

struct buffer_pool {
	size_t n;
	struct {
		char *data;
		size_t size;
	} blocks[BUFFER_POOL_BLOCKS];
};

struct buffer {
	struct buffer_pool *pool; /* borrowed; NULL: free() what is unused */
	char *data;		  /* NULL while empty */
	size_t start;		  /* of the first byte not consumed */
	size_t end;		  /* behind the last byte */
	size_t size;		  /* of data */
};

void buffer_pool_fini(struct buffer_pool *);

void buffer_init(struct buffer *, struct buffer_pool *);
void buffer_fini(struct buffer *);

static inline size_t
buffer_len(const struct buffer *b)
{
	return b->end - b->start;
}

static inline char *
buffer_data(const struct buffer *b)
{
	return b->data + b->start;
}

void buffer_grow(struct buffer *, size_t);

/* Room for n bytes behind the last; buffer_commit() says how many came. */
static inline char *
buffer_reserve(struct buffer *b, size_t n)
{
	if (b->size - b->end < n)
		buffer_grow(b, n);
	return b->data + b->end;
}

static inline void
buffer_commit(struct buffer *b, size_t n)
{
	b->end += n;
}

static inline void
buffer_append(struct buffer *b, const void *bytes, size_t n)
{
	memcpy(buffer_reserve(b, n), bytes, n);
	b->end += n;
}

/* A string literal. */
#define buffer_puts(b, s) buffer_append((b), (s), sizeof(s) - 1)

static inline void
buffer_putc(struct buffer *b, char c)
{
	*buffer_reserve(b, 1) = c;
	b->end++;
}

/* Takes n bytes, at most buffer_len(), from the front. */
void buffer_consume(struct buffer *, size_t);

/* Drops all bytes. */
void buffer_clear(struct buffer *);

/* Cuts the bytes at the end, so that len are left. */
void buffer_truncate(struct buffer *, size_t len);

/* Moves a few bytes in a large block to a small one: they may stay long. */
void buffer_fit(struct buffer *);

#endif
