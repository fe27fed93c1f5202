#include "config.h"

#include "buffer.h"

#include <stdlib.h>

#include "memory.h"

#define BUFFER_SIZE_MIN 512

void
buffer_pool_fini(struct buffer_pool *pool)
{
	while (pool->n > 0)
		free(pool->blocks[--pool->n].data);
}

/* Takes a block of at least size from the pool; false if there is none. */
static bool
buffer_pool_take(struct buffer_pool *pool, size_t size, struct buffer *b)
{
	for (size_t i = pool->n; i-- > 0;) {
		if (pool->blocks[i].size < size)
			continue;
		b->data = pool->blocks[i].data;
		b->size = pool->blocks[i].size;
		pool->blocks[i] = pool->blocks[--pool->n];
		return true;
	}
	return false;
}

/* Gives the block of an empty buffer away. */
static void
buffer_release(struct buffer *b)
{
	struct buffer_pool *pool = b->pool;

	if (pool != NULL && pool->n < BUFFER_POOL_BLOCKS && b->data != NULL &&
	    b->size <= BUFFER_POOL_SIZE_MAX) {
		pool->blocks[pool->n].data = b->data;
		pool->blocks[pool->n].size = b->size;
		pool->n++;
	} else {
		free(b->data);
	}
	b->data = NULL;
	b->start = b->end = b->size = 0;
}

void
buffer_init(struct buffer *b, struct buffer_pool *pool)
{
	*b = (struct buffer){ .pool = pool };
}

void
buffer_fini(struct buffer *b)
{
	buffer_release(b);
}

void
buffer_grow(struct buffer *b, size_t n)
{
	size_t len = buffer_len(b);
	size_t size;

	if (b->data == NULL && b->pool != NULL &&
	    buffer_pool_take(b->pool, n, b))
		return;
	if (b->start > 0) {
		memmove(b->data, b->data + b->start, len);
		b->start = 0;
		b->end = len;
		/* Only half full: enough room, and not moved at each byte. */
		if (b->size - len >= n && len <= b->size / 2)
			return;
	}
	size = b->size < BUFFER_SIZE_MIN ? BUFFER_SIZE_MIN : b->size * 2;
	while (size - len < n)
		size *= 2;
	b->data = memory_realloc(b->data, size);
	b->size = size;
}

void
buffer_consume(struct buffer *b, size_t n)
{
	b->start += n;
	if (b->start == b->end)
		buffer_release(b);
}

void
buffer_clear(struct buffer *b)
{
	buffer_release(b);
}

void
buffer_truncate(struct buffer *b, size_t len)
{
	b->end = b->start + len;
	if (len == 0)
		buffer_release(b);
}

void
buffer_fit(struct buffer *b)
{
	size_t len = buffer_len(b);
	struct buffer small = { .pool = b->pool };

	if (b->data == NULL || b->size < BUFFER_SIZE_MIN * 4 ||
	    len > b->size / 4)
		return;
	small.size = len < BUFFER_SIZE_MIN ? BUFFER_SIZE_MIN : len;
	small.data = memory_alloc(small.size);
	memcpy(small.data, buffer_data(b), len);
	small.end = len;
	buffer_release(b);
	*b = small;
}
