#include "config.h"

#include "grid.h"

#include <langinfo.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "memory.h"

#include "text.h"

#define GAP	 2
#define CUT_MIN	 8
#define TERMINAL 80 /* columns, where nobody says */

void
grid_init(struct grid *grid, const struct grid_column *columns, size_t n)
{
	*grid = (struct grid){ .columns = columns, .n_columns = n };
	buffer_init(&grid->text, NULL);
	for (size_t i = 0; i < n; i++)
		grid_add_text(grid, columns[i].title);
}

void
grid_fini(struct grid *grid)
{
	buffer_fini(&grid->text);
	free(grid->ends);
}

void
grid_add(struct grid *grid, const char *p, size_t len)
{
	/* Doubled whenever it is full. */
	if ((grid->n & (grid->n + 1)) == 0)
		grid->ends = memory_realloc(grid->ends,
		    (2 * grid->n + 1) * sizeof(*grid->ends));
	text_put(&grid->text, p, len);
	grid->ends[grid->n++] = buffer_len(&grid->text);
}

void
grid_add_text(struct grid *grid, const char *text)
{
	grid_add(grid, text, strlen(text));
}

void
grid_add_number(struct grid *grid, long long number)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", number);
	grid_add_text(grid, text);
}

/* --- printing ------------------------------------------------------------- */

struct cell {
	const char *p;
	size_t len;
};

static struct cell
grid_cell(const struct grid *grid, size_t i)
{
	size_t start = i == 0 ? 0 : grid->ends[i - 1];

	/* A buffer without a byte has no data. */
	return (struct cell){ buffer_len(&grid->text) == 0 ?
		    "" :
		    buffer_data(&grid->text) + start,
		grid->ends[i] - start };
}

/* 0: without end. */
static size_t
grid_terminal(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;

	if (!isatty(STDOUT_FILENO))
		return 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	if (columns != NULL && atoi(columns) > 0)
		return (size_t)atoi(columns);
	return TERMINAL;
}

static void
grid_measure(const struct grid *grid, size_t *widths)
{
	memset(widths, 0, grid->n_columns * sizeof(*widths));
	for (size_t i = 0; i < grid->n; i++) {
		struct cell cell = grid_cell(grid, i);
		size_t width = text_columns(cell.p, cell.len);

		if (width > widths[i % grid->n_columns])
			widths[i % grid->n_columns] = width;
	}
}

static size_t
grid_width(const struct grid *grid, const size_t *widths)
{
	size_t sum = 0;

	for (size_t i = 0; i < grid->n_columns; i++)
		sum += widths[i] + (i > 0 ? GAP : 0);
	return sum;
}

/* The widest that may still be cut; n_columns if there is none. */
static size_t
grid_widest(const struct grid *grid, const size_t *widths)
{
	size_t widest = grid->n_columns;

	for (size_t i = 0; i < grid->n_columns; i++)
		if (grid->columns[i].is_cut && widths[i] > CUT_MIN &&
		    (widest == grid->n_columns || widths[i] > widths[widest]))
			widest = i;
	return widest;
}

static void
grid_shrink(const struct grid *grid, size_t *widths, size_t terminal)
{
	size_t widest;

	while (terminal > 0 && grid_width(grid, widths) > terminal) {
		widest = grid_widest(grid, widths);
		if (widest == grid->n_columns)
			return;
		widths[widest]--;
	}
}

static void
grid_put_spaces(struct buffer *line, size_t n)
{
	while (n-- > 0)
		buffer_putc(line, ' ');
}

/* A cell that was cut ends in a mark, of one column. */
static void
grid_put_cell(struct buffer *line, struct cell cell, size_t width, bool right)
{
	bool utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	const char *mark = utf8 ? "\xe2\x80\xa6" : "~";
	size_t columns = text_columns(cell.p, cell.len);
	size_t len;

	if (columns > width) {
		len = text_cut(cell.p, cell.len, width - 1);
		buffer_append(line, cell.p, len);
		buffer_append(line, mark, strlen(mark));
		grid_put_spaces(line, width - 1 - text_columns(cell.p, len));
		return;
	}
	if (right)
		grid_put_spaces(line, width - columns);
	buffer_append(line, cell.p, cell.len);
	if (!right)
		grid_put_spaces(line, width - columns);
}

static void
grid_print_row(const struct grid *grid, size_t row, const size_t *widths,
    size_t terminal)
{
	struct buffer line;
	size_t len;

	buffer_init(&line, NULL);
	for (size_t i = 0; i < grid->n_columns; i++) {
		if (i > 0)
			grid_put_spaces(&line, GAP);
		grid_put_cell(&line, grid_cell(grid, row * grid->n_columns + i),
		    widths[i], grid->columns[i].is_number);
	}
	len = buffer_len(&line);
	/* A terminal that is too narrow for all that can't be cut. */
	if (terminal > 0)
		len = text_cut(buffer_data(&line), len, terminal);
	while (len > 0 && buffer_data(&line)[len - 1] == ' ')
		len--;
	fwrite(buffer_data(&line), 1, len, stdout);
	putchar('\n');
	buffer_fini(&line);
}

void
grid_print(const struct grid *grid)
{
	size_t widths[GRID_COLUMNS_MAX];
	size_t terminal = grid_terminal();

	grid_measure(grid, widths);
	grid_shrink(grid, widths, terminal);
	for (size_t row = 0; row < grid->n / grid->n_columns; row++)
		grid_print_row(grid, row, widths, terminal);
}
