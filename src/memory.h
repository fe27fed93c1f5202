#ifndef EVD_MEMORY_H
#define EVD_MEMORY_H

#include <stddef.h>

/*
 * Memory that is always there.  What clients can make evd hold is bounded by
 * the limits, which refuse with an answer long before memory is short; when
 * the machine itself has none left, evd logs that and exits with status 1.
 * memory_init() puts libev and jansson under the same rule.
 */
void memory_init(void);

void *memory_alloc(size_t);  /* uninitialised; free() it */
void *memory_zalloc(size_t); /* zeroed; free() it */
void *memory_realloc(void *, size_t);
char *memory_strdup(const char *);
char *memory_copy(const char *, size_t); /* with a NUL added */

#endif
