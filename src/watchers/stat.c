#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "memory.h"
#include "put.h"
#include "watcher.h"

/*
 * Changes of what is at a path, as libev's ev_stat, but on the kernel's word
 * and in nanoseconds: see dirwatch.h.
 *
 * An event says what the file was when the last one was written, and what it
 * is; so with merged firings too, also when the two are equal again.
 */
struct stat_watcher {
	struct watcher base;
	struct dirwatch_item item;
	struct filestate prev; /* when the last event was written */
	char *path;	       /* owned, and charged */
	bool path_is_base64;   /* on the wire: it is not UTF-8 */
};

enum { STAT_PATH, STAT_PATH_BASE64, STAT_INTERVAL, STAT_FOLLOW };

struct stat_args {
	uint32_t given;
	struct slice path, path_base64;
	double interval;
	bool follow;
};

static const struct param stat_params[] = {
	[STAT_PATH] = PARAM("path", PARAM_PATH, struct stat_args, path),
	[STAT_PATH_BASE64] = PARAM("path_base64", PARAM_BASE64,
	    struct stat_args, path_base64),
	[STAT_INTERVAL] = PARAM("interval", PARAM_PERIOD, struct stat_args,
	    interval, .min = 0.1, .max = SECONDS_MAX),
	[STAT_FOLLOW] = PARAM("follow", PARAM_BOOL, struct stat_args, follow),
};

#define STAT_FAILED "the file can't be looked at"

static void
stat_on_change(struct dirwatch_item *item)
{
	watcher_fired((struct watcher *)((char *)item -
	    offsetof(struct stat_watcher, item)));
}

/* --- members -------------------------------------------------------------- */

/* The bytes of path_base64, to be freed; NULL with the error. */
static char *
stat_decode_path(struct slice text, struct error *error)
{
	char *path = memory_alloc(BASE64_DECODED_MAX(text.len) + 1);
	int len = base64_decode(text.p, text.len, path);

	path[len] = '\0';
	if (path[0] == '/' && len < PATH_SIZE_MAX &&
	    strlen(path) == (size_t)len)
		return path;
	free(path);
	error_set(error, ERROR_INVALID_ARGUMENT,
	    "member \"path_base64\" stands for %d bytes, expected an absolute "
	    "path of at most %d without a NUL",
	    len, PATH_SIZE_MAX - 1);
	return NULL;
}

/* Takes the path, which may be NULL. */
static int
stat_set_path(struct stat_watcher *s, char *path, bool is_base64,
    struct error *error)
{
	struct account *account = s->base.host->account;

	if (path == NULL)
		return -1;
	if (account_charge(account, LIMIT_BYTES, strlen(path), error) < 0) {
		free(path);
		return -1;
	}
	if (s->path != NULL)
		account_discharge(account, LIMIT_BYTES, strlen(s->path));
	free(s->path);
	s->path = path;
	s->path_is_base64 = is_base64;
	return 0;
}

static int
stat_set(struct watcher *w, const void *values, bool fresh, struct error *error)
{
	struct stat_watcher *s = (struct stat_watcher *)w;
	const struct stat_args *args = values;
	bool path = args->given & PARAM_BIT(STAT_PATH);
	bool base64 = args->given & PARAM_BIT(STAT_PATH_BASE64);

	if (path && base64)
		return error_set(error, ERROR_INVALID_ARGUMENT,
		    "members \"path\" and \"path_base64\" are both there, "
		    "expected one");
	if (fresh && !path && !base64)
		return error_set(error, ERROR_INVALID_ARGUMENT,
		    "member \"path\" is missing, expected it or "
		    "\"path_base64\"");
	if (path &&
	    stat_set_path(s, memory_copy(args->path.p, args->path.len), false,
		error) < 0)
		return -1;
	if (base64 &&
	    stat_set_path(s, stat_decode_path(args->path_base64, error), true,
		error) < 0)
		return -1;
	if (args->given & PARAM_BIT(STAT_INTERVAL))
		s->item.interval = args->interval;
	if (args->given & PARAM_BIT(STAT_FOLLOW))
		s->item.follow = args->follow;
	return 0;
}

static void
stat_fini(struct watcher *w)
{
	struct stat_watcher *s = (struct stat_watcher *)w;

	if (s->path != NULL)
		account_discharge(w->host->account, LIMIT_BYTES,
		    strlen(s->path));
	free(s->path);
}

/* --- watching ------------------------------------------------------------- */

static int
stat_start(struct watcher *w, struct error *error)
{
	struct stat_watcher *s = (struct stat_watcher *)w;
	int err;

	s->item.path = s->path;
	s->item.on_change = stat_on_change;
	err = dirwatch_add(w->host->dirwatch, &s->item);
	if (err < 0)
		return error_set_system(error, -err, STAT_FAILED);
	s->prev = s->item.state;
	return 0;
}

static void
stat_stop(struct watcher *w)
{
	dirwatch_del(&((struct stat_watcher *)w)->item);
}

static void
stat_forget(struct watcher *w)
{
	struct stat_watcher *s = (struct stat_watcher *)w;

	s->prev = s->item.state;
}

/* --- the wire ------------------------------------------------------------- */

static void
stat_put_attr(const struct stat_watcher *s, struct buffer *b)
{
	put_member(b, "attr");
	filestate_put(b, &s->item.state);
}

static void
stat_put_started(const struct watcher *w, struct buffer *b)
{
	const struct stat_watcher *s = (const struct stat_watcher *)w;

	stat_put_attr(s, b);
	put_key(b, "via");
	if (dirwatch_is_polled(&s->item))
		buffer_puts(b, "\"poll\"");
	else
		buffer_puts(b, "\"inotify\"");
}

static int
stat_stat(struct watcher *w, struct buffer *b, struct error *error)
{
	struct stat_watcher *s = (struct stat_watcher *)w;
	int err = w->active ?
	    dirwatch_compare(&s->item) :
	    filestate_take(&s->item.state, s->path, s->item.follow);

	if (err < 0)
		return error_set_system(error, -err, STAT_FAILED);
	if (!w->pending)
		s->prev = s->item.state;
	stat_put_attr(s, b);
	return 0;
}

static void
stat_put_event(const struct watcher *w, struct buffer *b)
{
	const struct stat_watcher *s = (const struct stat_watcher *)w;

	stat_put_attr(s, b);
	put_key(b, "prev");
	filestate_put(b, &s->prev);
}

static void
stat_put_state(const struct watcher *w, struct buffer *b)
{
	const struct stat_watcher *s = (const struct stat_watcher *)w;

	if (s->path_is_base64) {
		put_key(b, "path_base64");
		base64_put(b, s->path, strlen(s->path));
	} else {
		put_key(b, "path");
		put_string(b, s->path, strlen(s->path));
	}
	put_key(b, "interval");
	put_double(b, s->item.interval);
	if (s->item.follow)
		buffer_puts(b, ",\"follow\":true");
	if (w->active)
		stat_put_started(w, b);
}

const struct watcher_class stat_class = {
	.name = { "stat", 4 },
	.revents = EV_STAT,
	.size = sizeof(struct stat_watcher),
	.params = stat_params,
	.n_params = sizeof(stat_params) / sizeof(stat_params[0]),
	.live = PARAM_BIT(STAT_INTERVAL),
	.right = RIGHT_PATHS,
	.set = stat_set,
	.start = stat_start,
	.stop = stat_stop,
	.put_started = stat_put_started,
	.stat = stat_stat,
	.put_event = stat_put_event,
	.put_state = stat_put_state,
	.forget = stat_forget,
	.fini = stat_fini,
};
