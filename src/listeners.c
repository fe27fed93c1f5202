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
	listener->round = all->round + (all->more > 0);
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
	all->more += times;
}

static void
listeners_begin(struct listeners *all)
{
	all->round++;
	all->times = all->more;
	all->more = 0;
	all->next = TAILQ_FIRST(&all->list);
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
		if (listener->round < all->round)
			listener->on_told(listener, all->times);
	}
	return n;
}

bool
listeners_are_told(const struct listeners *all)
{
	return all->next == NULL && all->more == 0;
}
