#include "config.h"

#include "jobs.h"

#include "busy.h"

void
jobs_add(struct jobs *jobs, struct job *job)
{
	if (job->queued)
		return;
	job->queued = true;
	job->ticket = ++jobs->tickets;
	TAILQ_INSERT_TAIL(&jobs->queue, job, entry);
	ev_idle_start(jobs->loop, &jobs->busy);
}

void
jobs_add_first(struct jobs *jobs, struct job *job)
{
	uint64_t ticket = TAILQ_FIRST(&jobs->queue)->ticket;

	jobs_remove(jobs, job);
	job->queued = true;
	job->ticket = ticket;
	TAILQ_INSERT_HEAD(&jobs->queue, job, entry);
}

void
jobs_remove(struct jobs *jobs, struct job *job)
{
	if (!job->queued)
		return;
	job->queued = false;
	TAILQ_REMOVE(&jobs->queue, job, entry);
}

bool
jobs_are_done(const struct jobs *jobs, uint64_t ticket)
{
	const struct job *job = TAILQ_FIRST(&jobs->queue);

	return job == NULL || job->ticket > ticket;
}

static void
jobs_on_prepare(struct ev_loop *loop, struct ev_prepare *prepare, int revents)
{
	struct jobs *jobs = prepare->data;
	struct job *job;

	(void)revents;
	for (int i = 0; i < JOBS_STEPS; i++) {
		job = TAILQ_FIRST(&jobs->queue);
		if (job == NULL)
			break;
		jobs->on_step(jobs, job);
	}
	if (TAILQ_EMPTY(&jobs->queue))
		ev_idle_stop(loop, &jobs->busy);
}

void
jobs_init(struct jobs *jobs, struct ev_loop *loop)
{
	*jobs = (struct jobs){ .loop = loop };
	TAILQ_INIT(&jobs->queue);
	busy_init(&jobs->busy);
	ev_prepare_init(&jobs->prepare, jobs_on_prepare);
	jobs->prepare.data = jobs;
	ev_prepare_start(loop, &jobs->prepare);
}

void
jobs_fini(struct jobs *jobs)
{
	ev_prepare_stop(jobs->loop, &jobs->prepare);
	ev_idle_stop(jobs->loop, &jobs->busy);
}
