#ifndef EVD_FEATURE_H
#define EVD_FEATURE_H

#include <stdbool.h>

/*
 * What this kernel may not have, or the tests may take away: each has a
 * fallback, and --disable-feature forces it.
 */
enum feature {
	FEATURE_INOTIFY,    /* the kernel tells of changes to files */
	FEATURE_FINE_MTIME, /* two changes of a file have two times */
	FEATURES
};

/* The names, as in options and in hello. */
extern const char *const feature_names[FEATURES];

/* False if there is none of that name. */
bool feature_disable(const char *name);

/* The kernel is new enough, and nobody has disabled it. */
bool feature_enabled(enum feature);

#endif
