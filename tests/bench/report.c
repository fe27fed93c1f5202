#include "config.h"
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ratio {
	double low, median, high;
};

/* Of a subject to the first one, within each round. */
static struct ratio
ratio_of(const struct result *result, int s, int m)
{
	double ratios[ROUNDS_MAX], median;
	size_t low, high, n = result->rounds;

	for (size_t r = 0; r < n; r++)
		ratios[r] = result->figures[s][m][r] / result->figures[0][m][r];
	median = quantile(ratios, n, 0.5);
	median_interval(n, &low, &high);
	return ((struct ratio){ ratios[low], median, ratios[high] });
}

/* Three digits that count, but all of a whole number. */
static void
put_figure(char *out, size_t size, double figure)
{
	int digits = figure == 0 ? 0 : 2 - (int)floor(log10(fabs(figure)));

	snprintf(out, size, "%.*f",
	    digits < 0 || figure == floor(figure) ? 0 : digits, figure);
}

static void
put_row(const struct result *result, int s, int m)
{
	const struct measure *measure = &result->scenario->measures[m];
	double figures[ROUNDS_MAX];
	char low[32], median[32], high[32], spread[80];
	size_t n = result->rounds;

	for (size_t r = 0; r < n; r++)
		figures[r] = result->figures[s][m][r] * measure->scale;
	put_figure(median, sizeof median, quantile(figures, n, 0.5));
	put_figure(low, sizeof low, figures[0]);
	put_figure(high, sizeof high, figures[n - 1]);
	snprintf(spread, sizeof spread, "%s to %s", low, high);
	printf("  %-24s %10s  %-24s", result->scenario->subjects[s].name,
	    median, spread);
	if (s > 0 && result->measured[0] && result->figures[0][m][0] > 0) {
		struct ratio ratio = ratio_of(result, s, m);

		printf(" %8.3g  (%.3g to %.3g)", ratio.median, ratio.low,
		    ratio.high);
	}
	printf("\n");
}

void
report_table(const struct result *result)
{
	const struct scenario *scenario = result->scenario;

	printf("\n%s: %s%s, %d rounds\n", scenario->name, scenario->title,
	    scenario->one_core ? ", on one processor" : "", result->rounds);
	for (int m = 0; m < MEASURES_MAX && scenario->measures[m].name; m++) {
		const struct measure *measure = &scenario->measures[m];

		printf(" %s, %s%s%s%s\n", measure->name, measure->unit,
		    measure->more_is_better ? " (more is better)" : "",
		    measure->bar != NULL ? "; to reach: " : "",
		    measure->bar != NULL ? measure->bar : "");
		printf("  %-24s %10s  %-24s %8s  %s\n", "", "median", "spread",
		    "ratio", "(95 % interval)");
		for (int s = 0; s < SUBJECTS_MAX; s++) {
			if (result->measured[s])
				put_row(result, s, m);
		}
	}
}

#define LEFT  250
#define RIGHT 520
#define STEP  18

/* A ratio's place: a decade is so wide, and 1 is in the middle. */
static double
place(double ratio)
{
	double x = LEFT + RIGHT / 2.0 + log10(ratio) * 100;

	return (x < LEFT ? LEFT : x > LEFT + RIGHT ? LEFT + RIGHT : x);
}

static int
plot_measure(FILE *f, const struct result *result, int m, int y)
{
	const struct scenario *scenario = result->scenario;
	const struct measure *measure = &scenario->measures[m];

	fprintf(f, "<text x='4' y='%d' font-weight='bold'>%s: %s%s</text>\n", y,
	    scenario->name, measure->name,
	    measure->more_is_better ? " (right is better)" : "");
	for (int s = 1; s < SUBJECTS_MAX; s++) {
		struct ratio ratio;

		if (!result->measured[s])
			continue;
		y += STEP;
		ratio = ratio_of(result, s, m);
		fprintf(f,
		    "<text x='20' y='%d'>%s</text>\n"
		    "<line x1='%.1f' x2='%.1f' y1='%d' y2='%d' "
		    "stroke='gray' stroke-width='3'/>\n"
		    "<circle cx='%.1f' cy='%d' r='4'/>\n"
		    "<text x='%d' y='%d'>%.3g</text>\n",
		    y, scenario->subjects[s].name, place(ratio.low),
		    place(ratio.high), y - 4, y - 4, place(ratio.median), y - 4,
		    LEFT + RIGHT + 10, y, ratio.median);
		if (measure->figure > 0 &&
		    strncmp(scenario->subjects[s].name, "evd", 3) == 0)
			fprintf(f,
			    "<line x1='%.1f' x2='%.1f' y1='%d' y2='%d' "
			    "stroke='red'/>\n",
			    place(measure->figure), place(measure->figure),
			    y - 11, y + 3);
	}
	return (y + STEP + 6);
}

void
report_plot(const struct result *results, size_t n, const char *path)
{
	FILE *f = fopen(path, "w");
	int y = 40;

	if (f == NULL)
		fatal("%s can't be written", path);
	fprintf(f,
	    "<svg xmlns='http://www.w3.org/2000/svg' width='%d' "
	    "height='%zu' font-family='sans-serif' font-size='12'>\n"
	    "<rect width='100%%' height='100%%' fill='white'/>\n"
	    "<text x='4' y='16'>Ratios to the first subject of each; a "
	    "tick: evd's bar. A decade is 100 wide.</text>\n",
	    LEFT + RIGHT + 80, n * MEASURES_MAX * SUBJECTS_MAX * STEP + 60);
	for (size_t i = 0; i < n; i++) {
		for (int m = 0; m < MEASURES_MAX; m++) {
			if (results[i].scenario->measures[m].name != NULL &&
			    results[i].measured[0] &&
			    results[i].figures[0][m][0] > 0)
				y = plot_measure(f, &results[i], m, y);
		}
	}
	fprintf(f,
	    "<line x1='%.1f' x2='%.1f' y1='24' y2='%d' stroke='silver'/>\n"
	    "</svg>\n",
	    place(1), place(1), y);
	if (fclose(f) != 0)
		fatal("%s can't be written", path);
}
