#ifndef EVD_WATCHERS_CLASSES_H
#define EVD_WATCHERS_CLASSES_H

#include "message.h"
#include "watcher.h"

/* The table of types; ends with NULL. */
extern const struct watcher_class *const watcher_classes[];

/* NULL if there is no type of that name. */
const struct watcher_class *watcher_class_find(struct slice);

/* Its place in the table; that behind the last for one that is not in it. */
size_t watcher_class_index(const struct watcher_class *);

#endif
