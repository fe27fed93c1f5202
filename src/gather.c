#include "config.h"

#include "gather.h"

#include <math.h>
#include <string.h>

bool
gather_add(struct gather *g, enum gather_kind kind, double now)
{
	if (g->n[kind]++ > 0)
		return false;
	g->since[kind] = now;
	return true;
}

bool
gather_remove(struct gather *g, enum gather_kind kind)
{
	return --g->n[kind] == 0;
}

void
gather_clear(struct gather *g)
{
	memset(g->n, 0, sizeof(g->n));
}

double
gather_due(const struct gather *g)
{
	double due = INFINITY;

	for (int kind = 0; kind < GATHER_KINDS; kind++)
		if (g->n[kind] > 0)
			due = fmin(due, g->since[kind] + g->intervals[kind]);
	return due;
}
