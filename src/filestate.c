#include "config.h"

#include "filestate.h"

#include <errno.h>
#include <sys/stat.h>

#include "put.h"

bool
filestate_is_absent(int err)
{
	return err == ENOENT || err == ENOTDIR || err == EACCES ||
	    err == ELOOP || err == ENAMETOOLONG;
}

int
filestate_take(struct filestate *state, const char *path, bool follow)
{
	struct stat st;

	if ((follow ? stat(path, &st) : lstat(path, &st)) < 0) {
		if (!filestate_is_absent(errno))
			return -errno;
		*state = (struct filestate){ 0 };
		return 0;
	}
	*state = (struct filestate){
		.dev = st.st_dev,
		.ino = st.st_ino,
		.rdev = st.st_rdev,
		.size = st.st_size,
		.atime = st.st_atim.tv_sec,
		.mtime = st.st_mtim.tv_sec,
		.ctime = st.st_ctim.tv_sec,
		.atime_ns = (uint32_t)st.st_atim.tv_nsec,
		.mtime_ns = (uint32_t)st.st_mtim.tv_nsec,
		.ctime_ns = (uint32_t)st.st_ctim.tv_nsec,
		.mode = st.st_mode,
		/* As libev: one that is there has a link. */
		.nlink = st.st_nlink == 0 ? 1 : (uint32_t)st.st_nlink,
		.uid = st.st_uid,
		.gid = st.st_gid,
	};
	return 0;
}

bool
filestate_equal(const struct filestate *a, const struct filestate *b)
{
	return a->ino == b->ino && a->dev == b->dev && a->rdev == b->rdev &&
	    a->size == b->size && a->mtime == b->mtime &&
	    a->mtime_ns == b->mtime_ns && a->ctime == b->ctime &&
	    a->ctime_ns == b->ctime_ns && a->mode == b->mode &&
	    a->nlink == b->nlink && a->uid == b->uid && a->gid == b->gid;
}

/* The kernel counts nanoseconds forward, also before the Epoch. */
static void
filestate_put_time(struct buffer *b, int64_t seconds, uint32_t ns)
{
	if (seconds < 0 && ns > 0) {
		seconds++;
		ns = 1000000000 - ns;
		if (seconds == 0)
			buffer_putc(b, '-');
	}
	put_i64(b, seconds);
	buffer_putc(b, '.');
	put_decimals(b, ns, 9);
}

void
filestate_put(struct buffer *b, const struct filestate *state)
{
	buffer_puts(b, "{\"dev\":");
	put_u64(b, state->dev);
	put_key(b, "ino");
	put_u64(b, state->ino);
	put_key(b, "mode");
	put_u64(b, state->mode);
	put_key(b, "nlink");
	put_u64(b, state->nlink);
	put_key(b, "uid");
	put_u64(b, state->uid);
	put_key(b, "gid");
	put_u64(b, state->gid);
	put_key(b, "rdev");
	put_u64(b, state->rdev);
	put_key(b, "size");
	put_i64(b, state->size);
	put_key(b, "atime");
	filestate_put_time(b, state->atime, state->atime_ns);
	put_key(b, "mtime");
	filestate_put_time(b, state->mtime, state->mtime_ns);
	put_key(b, "ctime");
	filestate_put_time(b, state->ctime, state->ctime_ns);
	buffer_putc(b, '}');
}
