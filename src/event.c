#include "config.h"

#include "event.h"

#include "put.h"

void
event_begin(struct buffer *b, const struct event *event)
{
	buffer_puts(b, "{\"event\":\"");
	buffer_append(b, event->type.p, event->type.len);
	buffer_puts(b, "\",\"watcher\":");
	buffer_append(b, event->watcher.p, event->watcher.len);
	put_key(b, "revents");
	put_i64(b, event->revents);
	put_key(b, "seq");
	put_u64(b, event->seq);
	put_key(b, "time");
	put_time(b, event->time);
}

void
event_end(struct buffer *b, const struct event *event)
{
	if (!event->active)
		buffer_puts(b, ",\"active\":false");
	if (event->overrun > 0) {
		put_key(b, "overrun");
		put_u64(b, event->overrun);
	}
	if (event->data.len > 0) {
		put_key(b, "data");
		buffer_append(b, event->data.p, event->data.len);
	}
	buffer_puts(b, "}\n");
}
