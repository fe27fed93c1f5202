#include "config.h"
#include "bench.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (ts.tv_sec + ts.tv_nsec / 1e9);
}

void
pause_for(double seconds)
{
	struct timespec ts = { .tv_sec = (time_t)seconds };

	ts.tv_nsec = (long)((seconds - ts.tv_sec) * 1e9);
	while (nanosleep(&ts, &ts) == -1 && errno == EINTR)
		;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return ((x > y) - (x < y));
}

double
quantile(double *figures, size_t n, double q)
{
	size_t i = (size_t)(q * n);

	if (n == 0)
		fatal("nothing was measured");
	qsort(figures, n, sizeof *figures, compare);
	return (figures[i < n ? i : n - 1]);
}

void
median_interval(size_t n, size_t *low, size_t *high)
{
	double p = 1, sum;
	size_t k = 0;

	/* How many of n figures are below the median is binomial. */
	for (size_t i = 0; i < n; i++)
		p /= 2;
	for (sum = p; sum <= 0.025 && k < n / 2; sum += p) {
		p = p * (n - k) / (k + 1);
		k++;
	}
	*low = k > 0 ? k - 1 : 0;
	*high = n - 1 - *low;
}

void
fatal(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "bench: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	exit(1);
}

void
text_add(struct text *text, const char *format, ...)
{
	va_list args;
	int len;

	for (;;) {
		va_start(args, format);
		len = vsnprintf(text->data == NULL ? NULL :
						     text->data + text->len,
		    text->size - text->len, format, args);
		va_end(args);
		if (text->data != NULL && (size_t)len < text->size - text->len)
			break;
		text->size = text->size * 2 + len + 1;
		if ((text->data = realloc(text->data, text->size)) == NULL)
			fatal("out of memory");
	}
	text->len += len;
}

void
text_free(struct text *text)
{
	free(text->data);
	*text = (struct text){ 0 };
}
