#ifndef EVD_JOBS_H
#define EVD_JOBS_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

/*
 * Work that is done in small steps, the first job first.  An iteration of the
 * loop does JOBS_STEPS of them, and does not block while there is a job.
 */
#define JOBS_STEPS 256

/* Inside of what there is something to do about. */
struct job {
	TAILQ_ENTRY(job) entry;
	uint64_t ticket; /* queued: those of all behind it are not lower */
	bool queued;
	uint8_t kind; /* the owner's */
};

struct jobs {
	struct ev_loop *loop;
	struct ev_prepare prepare;
	struct ev_idle busy; /* while there are any */
	TAILQ_HEAD(, job) queue;
	uint64_t tickets; /* given out */
	/*
	 * Does one step of the first job, which is the owner's to remove when
	 * it is done.  May add and remove any.
	 */
	void (*on_step)(struct jobs *, struct job *);
};

/* on_step is the caller's to fill. */
void jobs_init(struct jobs *, struct ev_loop *);
void jobs_fini(struct jobs *);

/* Behind all others; does nothing for one that is queued. */
void jobs_add(struct jobs *, struct job *);
/* As a part of the first job, which goes on when this one is done. */
void jobs_add_first(struct jobs *, struct job *);
/* Does nothing for one that is not queued. */
void jobs_remove(struct jobs *, struct job *);

/* Whether all jobs up to that ticket are done. */
bool jobs_are_done(const struct jobs *, uint64_t ticket);

#endif
