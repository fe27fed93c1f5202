#include "config.h"

#include "watchers/classes.h"

#include <string.h>

extern const struct watcher_class async_class;
extern const struct watcher_class io_class;
extern const struct watcher_class periodic_class;
extern const struct watcher_class scheduler_class;
extern const struct watcher_class timer_class;

const struct watcher_class *const watcher_classes[] = {
	&io_class,
	&timer_class,
	&periodic_class,
	&scheduler_class,
	&async_class,
	NULL,
};

const struct watcher_class *
watcher_class_find(struct slice name)
{
	for (size_t i = 0; watcher_classes[i] != NULL; i++) {
		const struct watcher_class *class = watcher_classes[i];

		if (class->name.len == name.len &&
		    memcmp(class->name.p, name.p, name.len) == 0)
			return class;
	}
	return NULL;
}
