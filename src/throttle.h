#ifndef EVD_THROTTLE_H
#define EVD_THROTTLE_H

#include <stdbool.h>

/* At most so many in so many seconds; zeroed, it has allowed nothing yet. */
struct throttle {
	double begin;	   /* of the seconds that are counted, on any clock */
	unsigned int used; /* of what these allow */
};

bool throttle_has_room(const struct throttle *, double now, unsigned int max,
    double seconds);
/* One more; there must be room for it. */
void throttle_use(struct throttle *, double now, double seconds);

#endif
