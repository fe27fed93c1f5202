#include "config.h"

#include <jansson.h>
#include <stdio.h>

#include "grid.h"
#include "show.h"
#include "wire.h"

static const struct grid_column stats_columns[] = {
	{ "COUNTER", false, true },
	{ "VALUE", true, false },
};

static void
stats_add(struct grid *grid, const char *name, const json_t *value)
{
	char text[64];

	grid_add_text(grid, name);
	if (json_is_real(value)) {
		snprintf(text, sizeof(text), "%.3f", json_real_value(value));
		grid_add_text(grid, text);
	} else {
		grid_add_number(grid, json_integer_value(value));
	}
}

/* Objects of counters become several: errors parse-error, ... */
static void
stats_add_all(struct grid *grid, const char *of, const json_t *object)
{
	const char *name;
	char full[128];
	json_t *value;

	json_object_foreach((json_t *)object, name, value)
	{
		snprintf(full, sizeof(full), "%s%s%s", of,
		    *of == '\0' ? "" : " ", name);
		if (json_is_object(value))
			stats_add_all(grid, full, value);
		else
			stats_add(grid, full, value);
	}
}

static void
stats_print(const json_t *result)
{
	struct grid grid;

	grid_init(&grid, stats_columns, 2);
	stats_add_all(&grid, "", result);
	grid_print(&grid);
	grid_fini(&grid);
}

static int
subcommand_stats_run(struct evctl *evctl)
{
	const struct member *result;
	struct message message;
	struct wire wire;

	wire_init(&wire);
	buffer_puts(&wire.out, "{\"cmd\":\"stats\"}\n");
	message_init(&message);
	wire_open(&wire, evctl, &message);
	result = wire_call(&wire, &message);
	if (evctl->readable)
		stats_print(result->tree);
	else
		show_line(result->raw);
	message_fini(&message);
	wire_close(&wire);
	return STATUS_EVENT;
}

const struct subcommand subcommand_stats = {
	.name = "stats",
	.usage = "",
	.help = "Show what the daemon has done since its start",
	.run = subcommand_stats_run,
};
