#ifndef EVCTL_GRID_H
#define EVCTL_GRID_H

#include <stdbool.h>
#include <stddef.h>

#include "buffer.h"

/*
 * A table that fits the terminal: where it is too wide, the widest of those
 * columns that may be cut are, and say so.
 */
#define GRID_COLUMNS_MAX 12

struct grid_column {
	const char *title;
	bool is_number; /* to the right */
	bool is_cut;	/* where there is no room */
};

struct grid {
	const struct grid_column *columns;
	size_t n_columns;
	struct buffer text; /* of all cells, one behind the other */
	size_t *ends;	    /* of each, in text */
	size_t n;	    /* cells */
};

void grid_init(struct grid *, const struct grid_column *, size_t n);
void grid_fini(struct grid *);

/* The next cell, row by row; any bytes. */
void grid_add(struct grid *, const char *, size_t len);
void grid_add_text(struct grid *, const char *);
void grid_add_number(struct grid *, long long);

/* To standard output. */
void grid_print(const struct grid *);

#endif
