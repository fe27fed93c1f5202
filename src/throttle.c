#include "config.h"

#include "throttle.h"

bool
throttle_has_room(const struct throttle *throttle, double now, unsigned int max,
    double seconds)
{
	return now >= throttle->begin + seconds || throttle->used < max;
}

void
throttle_use(struct throttle *throttle, double now, double seconds)
{
	if (now >= throttle->begin + seconds)
		*throttle = (struct throttle){ .begin = now };
	throttle->used++;
}
