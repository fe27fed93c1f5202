#include "config.h"

#include "feature.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

const char *const feature_names[FEATURES] = {
	[FEATURE_INOTIFY] = "inotify",
	[FEATURE_FINE_MTIME] = "fine-mtime",
};

/* The first kernels to have them; 0.0: all that evd runs on. */
static const struct {
	int major, minor;
} feature_kernels[FEATURES] = {
	[FEATURE_FINE_MTIME] = { 6, 13 },
};

static bool feature_disabled[FEATURES];

bool
feature_disable(const char *name)
{
	for (int i = 0; i < FEATURES; i++) {
		if (strcmp(name, feature_names[i]) != 0)
			continue;
		feature_disabled[i] = true;
		return true;
	}
	return false;
}

static bool
feature_kernel_has(enum feature feature)
{
	struct utsname name;
	int major, minor;

	if (uname(&name) < 0 ||
	    sscanf(name.release, "%d.%d", &major, &minor) != 2)
		return false;
	return major > feature_kernels[feature].major ||
	    (major == feature_kernels[feature].major &&
		minor >= feature_kernels[feature].minor);
}

bool
feature_enabled(enum feature feature)
{
	return !feature_disabled[feature] && feature_kernel_has(feature);
}
