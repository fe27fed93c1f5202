#ifndef EVD_FILESTATE_H
#define EVD_FILESTATE_H

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"

/*
 * What stat(2) tells of a file, kept small: there may be very many.  Of one
 * that is not there, or can't be reached, all is 0; nlink is 1 or more of one
 * that is there.
 */
struct filestate {
	uint64_t dev, ino, rdev;
	int64_t size;
	int64_t atime, mtime, ctime;	       /* seconds since the Epoch */
	uint32_t atime_ns, mtime_ns, ctime_ns; /* and nanoseconds */
	uint32_t mode, nlink, uid, gid;
};

/* Of those that lstat(2) gives: nothing is there, as far as evd may know. */
bool filestate_is_absent(int err);

/*
 * follow: if the last component is a symbolic link, of what it leads to.
 * Returns 0, or a negative errno, with the state as it was, where it can't be
 * said what is there.
 */
int filestate_take(struct filestate *, const char *path, bool follow);

static inline bool
filestate_is_there(const struct filestate *state)
{
	return state->nlink != 0;
}

/*
 * The time of access does not count: reading is no change, and what changes
 * it by intent changes ctime as well.
 */
bool filestate_equal(const struct filestate *, const struct filestate *);

/* As JSON: an object. */
void filestate_put(struct buffer *, const struct filestate *);

#endif
