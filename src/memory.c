#include "config.h"

#include "memory.h"

#include <errno.h>
#include <ev.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

static void *
memory_check(void *p, size_t size)
{
	if (p == NULL && size > 0)
		fatal("out of memory: %zu bytes could not be had", size);
	return p;
}

void *
memory_alloc(size_t size)
{
	return memory_check(malloc(size), size);
}

void *
memory_zalloc(size_t size)
{
	return memory_check(calloc(1, size), size);
}

void *
memory_realloc(void *p, size_t size)
{
	return memory_check(realloc(p, size), size);
}

char *
memory_strdup(const char *s)
{
	return memory_check(strdup(s), 1);
}

char *
memory_copy(const char *bytes, size_t len)
{
	char *copy = memory_alloc(len + 1);

	memcpy(copy, bytes, len);
	copy[len] = '\0';
	return copy;
}

/* libev's one function for all: size 0 frees. */
static void *
memory_ev(void *p, long size)
{
	if (size == 0) {
		free(p);
		return NULL;
	}
	return memory_realloc(p, size);
}

/* What libev can't go on without. */
static void
memory_on_syserr(const char *what)
{
	fatal("%s: %s", what, strerror(errno));
}

void
memory_init(void)
{
	ev_set_syserr_cb(memory_on_syserr);
	ev_set_allocator(memory_ev);
	json_set_alloc_funcs(memory_alloc, free);
}
