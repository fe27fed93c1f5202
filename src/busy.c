#include "config.h"

#include "busy.h"

static void
busy_on_idle(struct ev_loop *loop, struct ev_idle *busy, int revents)
{
	(void)loop;
	(void)busy;
	(void)revents;
}

void
busy_init(struct ev_idle *busy)
{
	ev_idle_init(busy, busy_on_idle);
}
