#ifndef EVD_BENCH_H
#define EVD_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The benchmark.  A scenario is one question; its subjects (evd, its peers,
 * the limit) answer it in turns, round by round, so that what else happens on
 * the machine meets all of them alike.  Each round of a subject gives a figure
 * for each of the scenario's measures.  A ratio is taken within a round.
 */
#define MEASURES_MAX 3
#define SUBJECTS_MAX 6
#define ROUNDS_MAX   15

/* Programs. */

enum peer_kind {
	PEER_EVD,
	PEER_LINES,
	PEER_REDIS,
	PEER_BEANSTALKD,
	PEER_NATS,
	PEER_WATCHMAN
};

struct peer {
	enum peer_kind kind;
	pid_t pid;
	char address[100]; /* path of a socket, or a TCP port of this host */
};

/* Whether it is installed, by what was built or in PATH. */
bool peer_is_there(enum peer_kind);
/* Starts one in its own directory, and waits until it takes connections. */
void peer_start(struct peer *, enum peer_kind);
/* The same without waiting; the address is known. */
void peer_spawn(struct peer *, enum peer_kind);
int peer_connect(const struct peer *);
int peer_try_connect(const struct peer *); /* -1: not yet */
void peer_stop(struct peer *);
/* Bytes of memory that it has written to, and shares with no other process. */
double process_private(pid_t);
/* Times that the process gave up a processor to wait. */
double process_sleeps(pid_t);

/* Both ends of what is measured on one processor, or on any again. */
void pin(pid_t); /* 0: this process */
void unpin(void);

/* Connections. */

struct stream {
	int fd;
	char *in;
	size_t start, end, size;
};

void stream_open(struct stream *, int fd);
void stream_close(struct stream *);
/* The next line without its LF, until the next call. */
char *stream_line(struct stream *);
/* Writes all while reading; returns when so many lines were read. */
void stream_exchange(struct stream *, const char *out, size_t len,
    size_t lines);
void stream_send(struct stream *, const char *out);
/* Reads what is there; returns the lines that ended in it, and drops them. */
size_t stream_drain(struct stream *);

/* Text that grows. */

struct text {
	char *data;
	size_t len, size;
};

void text_add(struct text *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void text_free(struct text *);

/* Figures. */

double now(void); /* CLOCK_MONOTONIC, seconds */
void pause_for(double seconds);
/* Sorts; the quantile q of n figures. */
double quantile(double *figures, size_t n, double q);
/* The 95 % interval of the median, by order: its ends' places in n figures. */
void median_interval(size_t n, size_t *low, size_t *high);
void fatal(const char *format, ...)
    __attribute__((format(printf, 1, 2), noreturn));

/* Scenarios. */

/* What one subject has at hand while its scenario is measured. */
struct rig {
	enum peer_kind kind; /* what the subject needs */
	struct peer peer;
	struct stream *streams;
	size_t n_streams;
	int *fds;
	size_t n_fds;
	struct text text; /* to send */
	void *more;
	double quick; /* what sizes are divided by, 1 or more */
};

/* So many of the full number n. */
static inline size_t
sized(const struct rig *rig, size_t n)
{
	return (size_t)(n / rig->quick);
}

struct stream *rig_stream(struct rig *); /* one more, connected */

struct subject {
	const char *name;
	int needs;		    /* a peer_kind, or -1 */
	const char *program;	    /* another one that it needs, or NULL */
	void (*open)(struct rig *); /* may be NULL */
	void (*round)(struct rig *, double *figures);
	void (*close)(struct rig *); /* besides what a rig has; may be NULL */
};

struct measure {
	const char *name, *unit;
	double scale; /* of the figures, to that unit */
	bool more_is_better;
	const char *bar; /* what evd should reach, or NULL */
	double figure;	 /* the bar as a ratio to the first subject; 0: none */
};

struct scenario {
	const char *name, *title;
	bool one_core;
	struct measure measures[MEASURES_MAX];
	/* The first is what the ratios are to. */
	struct subject subjects[SUBJECTS_MAX];
	int rounds, quick_rounds;
	double quick; /* see struct rig */
};

extern const struct scenario roundtrip_scenario, register_scenario,
    memory_scenario, events_scenario, fanout_scenario, lateness_scenario,
    descriptors_scenario, files_scenario, footprint_scenario,
    neighbour_scenario, ending_scenario;

/* Reports. */

struct result {
	const struct scenario *scenario;
	bool measured[SUBJECTS_MAX];
	int rounds;
	double figures[SUBJECTS_MAX][MEASURES_MAX][ROUNDS_MAX];
};

void report_table(const struct result *);
void report_plot(const struct result *, size_t n, const char *path);

#endif
