#include "config.h"

#include "watchers/classes.h"

#include "stats.h"

extern const struct watcher_class async_class;
extern const struct watcher_class check_class;
extern const struct watcher_class child_class;
extern const struct watcher_class fork_class;
extern const struct watcher_class idle_class;
extern const struct watcher_class io_class;
extern const struct watcher_class periodic_class;
extern const struct watcher_class prepare_class;
extern const struct watcher_class scheduler_class;
extern const struct watcher_class signal_class;
extern const struct watcher_class stat_class;
extern const struct watcher_class timer_class;

const struct watcher_class *const watcher_classes[] = {
	&io_class,
	&timer_class,
	&periodic_class,
	&scheduler_class,
	&signal_class,
	&child_class,
	&stat_class,
	&idle_class,
	&prepare_class,
	&check_class,
	&fork_class,
	&async_class,
	NULL,
};

_Static_assert(sizeof(watcher_classes) / sizeof(watcher_classes[0]) <=
	STATS_TYPES_MAX,
    "a counter for each");

const struct watcher_class *
watcher_class_find(struct slice name)
{
	for (size_t i = 0; watcher_classes[i] != NULL; i++)
		if (slice_equal(watcher_classes[i]->name, name))
			return watcher_classes[i];
	return NULL;
}

size_t
watcher_class_index(const struct watcher_class *class)
{
	size_t i = 0;

	while (watcher_classes[i] != NULL && watcher_classes[i] != class)
		i++;
	return i;
}
