#include "config.h"

#include "listeners.h"

void
listeners_init(struct listeners *all)
{
	*all = (struct listeners){ 0 };
	TAILQ_INIT(&all->list);
}

void
listeners_add(struct listeners *all, struct listener *listener)
{
	listener->heard = all->calls;
	TAILQ_INSERT_TAIL(&all->list, listener, entry);
}

void
listeners_del(struct listeners *all, struct listener *listener)
{
	if (all->next == listener)
		all->next = TAILQ_NEXT(listener, entry);
	TAILQ_REMOVE(&all->list, listener, entry);
}

void
listeners_call(struct listeners *all, uint64_t times)
{
	all->calls += times;
}

static void
listeners_begin(struct listeners *all)
{
	all->of = all->calls;
	all->next = TAILQ_FIRST(&all->list);
}

static void
listener_tell(struct listener *listener, uint64_t calls)
{
	uint64_t times = calls - listener->heard;

	/* It came while the others were being told. */
	if (listener->heard >= calls)
		return;
	listener->heard = calls;
	listener->on_told(listener, times);
}

/* Goes on with the round, and begins another one if that is due. */
size_t
listeners_tell(struct listeners *all, size_t n)
{
	while (n > 0 && !listeners_are_told(all)) {
		struct listener *listener;

		if (all->next == NULL)
			listeners_begin(all);
		listener = all->next;
		if (listener == NULL)
			continue;
		all->next = TAILQ_NEXT(listener, entry);
		n--;
		listener_tell(listener, all->of);
	}
	return n;
}

bool
listeners_are_told(const struct listeners *all)
{
	return all->next == NULL && all->of == all->calls;
}
