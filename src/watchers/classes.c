#include "config.h"

#include "watchers/classes.h"

extern const struct watcher_class async_class;
extern const struct watcher_class io_class;
extern const struct watcher_class periodic_class;
extern const struct watcher_class stat_class;
extern const struct watcher_class timer_class;

const struct watcher_class *const watcher_classes[] = {
	&io_class,
	&timer_class,
	&periodic_class,
	&stat_class,
	&async_class,
	NULL,
};

const struct watcher_class *
watcher_class_find(struct slice name)
{
	for (size_t i = 0; watcher_classes[i] != NULL; i++)
		if (slice_equal(watcher_classes[i]->name, name))
			return watcher_classes[i];
	return NULL;
}
