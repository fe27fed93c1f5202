#include "config.h"
#include "bench.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct scenario *const scenarios[] = {
	&roundtrip_scenario,
	&register_scenario,
	&memory_scenario,
	&events_scenario,
	&fanout_scenario,
	&lateness_scenario,
	&descriptors_scenario,
	&files_scenario,
	&footprint_scenario,
	&neighbour_scenario,
	&ending_scenario,
};

#define N_SCENARIOS (sizeof scenarios / sizeof scenarios[0])

static struct result results[N_SCENARIOS];

static bool
is_there(const struct subject *subject)
{
	char command[256];

	if (subject->needs >= 0 && !peer_is_there(subject->needs))
		return (false);
	if (subject->program == NULL)
		return (true);
	snprintf(command, sizeof command, "command -v %s >/dev/null",
	    subject->program);
	return (system(command) == 0);
}

static void
close_rig(struct rig *rig, const struct subject *subject)
{
	if (subject->close != NULL)
		subject->close(rig);
	for (size_t i = 0; i < rig->n_streams; i++)
		stream_close(&rig->streams[i]);
	for (size_t i = 0; i < rig->n_fds; i++)
		close(rig->fds[i]);
	free(rig->streams);
	free(rig->fds);
	text_free(&rig->text);
	peer_stop(&rig->peer);
}

static void
measure(struct result *result, const struct scenario *scenario, bool quick)
{
	struct rig rigs[SUBJECTS_MAX] = { 0 };
	double figures[MEASURES_MAX];

	result->scenario = scenario;
	result->rounds = quick ? scenario->quick_rounds : scenario->rounds;
	if (scenario->one_core)
		pin(0);
	for (int s = 0; s < SUBJECTS_MAX; s++) {
		const struct subject *subject = &scenario->subjects[s];

		if (subject->name == NULL)
			continue;
		if (!(result->measured[s] = is_there(subject))) {
			printf("%s: left out: %s, which is not installed\n",
			    scenario->name, subject->name);
			continue;
		}
		rigs[s].kind = subject->needs;
		rigs[s].quick = quick ? scenario->quick : 1;
		if (subject->open != NULL)
			subject->open(&rigs[s]);
	}
	for (int r = 0; r < result->rounds; r++) {
		for (int s = 0; s < SUBJECTS_MAX; s++) {
			if (!result->measured[s])
				continue;
			scenario->subjects[s].round(&rigs[s], figures);
			for (int m = 0; m < MEASURES_MAX; m++)
				result->figures[s][m][r] = figures[m];
		}
	}
	for (int s = 0; s < SUBJECTS_MAX; s++) {
		if (result->measured[s])
			close_rig(&rigs[s], &scenario->subjects[s]);
	}
	if (scenario->one_core)
		unpin();
}

static void
usage(int status)
{
	fprintf(status == 0 ? stdout : stderr,
	    "usage: bench [--quick] [--svg FILE] [SCENARIO...]\n\n"
	    "Measures evd beside its peers, and prints a table.\n\n"
	    "  --quick     less of all, in under a minute\n"
	    "  --svg FILE  draw the ratios as well\n\n"
	    "Scenarios:\n");
	for (size_t i = 0; i < N_SCENARIOS; i++)
		fprintf(status == 0 ? stdout : stderr, "  %-12s %s\n",
		    scenarios[i]->name, scenarios[i]->title);
	exit(status);
}

static bool
is_wanted(const struct scenario *scenario, char **names)
{
	if (*names == NULL)
		return (true);
	for (; *names != NULL; names++) {
		if (strcmp(*names, scenario->name) == 0)
			return (true);
	}
	return (false);
}

static void
check_names(char **names)
{
	for (; *names != NULL; names++) {
		bool known = false;

		for (size_t i = 0; i < N_SCENARIOS; i++)
			known |= strcmp(*names, scenarios[i]->name) == 0;
		if (!known) {
			fprintf(stderr, "bench: no scenario '%s'\n", *names);
			usage(2);
		}
	}
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "quick", no_argument, NULL, 'q' },
		{ "svg", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct rlimit files;
	const char *svg = NULL;
	bool quick = false;
	size_t n = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'q')
			quick = true;
		else if (c == 's')
			svg = optarg;
		else
			usage(c == 'h' ? 0 : 2);
	}
	check_names(argv + optind);
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	for (size_t i = 0; i < N_SCENARIOS; i++) {
		if (!is_wanted(scenarios[i], argv + optind))
			continue;
		measure(&results[n], scenarios[i], quick);
		report_table(&results[n++]);
	}
	if (svg != NULL)
		report_plot(results, n, svg);
	return (0);
}
