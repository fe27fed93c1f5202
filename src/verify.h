#ifndef EVD_VERIFY_H
#define EVD_VERIFY_H

#include <stdbool.h>
#include <stddef.h>

#include "session.h"

/*
 * Checks the structures of a session, as ev_verify() those of a loop: what is
 * not as it must be is a fault of evd's own, which is logged and ends it by
 * abort().  Goes on with up to max watchers; returns true when it was through
 * all of them.
 */
void verify_begin(struct session *);
bool verify_some(struct session *, size_t max);

#endif
