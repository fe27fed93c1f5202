#ifndef EVCTL_WIRE_H
#define EVCTL_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include "buffer.h"
#include "message.h"

#include "evctl.h"

/*
 * A connection to the daemon: lines are queued in out, and written while
 * lines are waited for, so that neither side ever waits for the other to
 * read.  Every failure ends evctl with what it means for its user.
 */
#define WIRE_FDS_MAX 253 /* the kernel's, for a message */

struct wire {
	char *path; /* owned */
	int fd;
	struct buffer in;
	size_t scanned; /* bytes of in that are known to hold no LF */
	size_t taken;	/* bytes of the line that was given out last */
	struct buffer out;
	int fds[WIRE_FDS_MAX]; /* borrowed; go with the first byte of out */
	size_t n_fds;
	bool ends;	   /* half-close when out is written */
	bool is_printing;  /* end when nobody reads standard output any more */
	int other;	   /* also waited for; -1: none */
	struct slice line; /* the last one, without its LF */
};

enum wire_event {
	WIRE_LINE,
	WIRE_OTHER,    /* has something to read */
	WIRE_DEADLINE, /* has passed */
	WIRE_END,      /* the daemon has closed */
};

/* Commands can be queued from here on. */
void wire_init(struct wire *);
void wire_close(struct wire *);

/* Finds the daemon, starts it where that is called for, and connects. */
void wire_connect(struct wire *, const struct evctl *);

/*
 * The same, and says hello, with the option --session; only then what is
 * queued can go.  The message has the answer.  If there is none within ten
 * seconds, or the option --timeout, that ends evctl.
 */
void wire_open(struct wire *, const struct evctl *, struct message *);

/* CLOCK_MONOTONIC, in seconds: what deadlines are in. */
double wire_now(void);

/* Writes what is queued and waits for a line, which stays until the next. */
enum wire_event wire_next(struct wire *, double deadline);

/*
 * The same for a result or an event, which the message then has.  An error, a
 * daemon that ends and one that is gone end evctl; WIRE_END is the end of a
 * session that one of its watchers has ended.
 */
enum wire_event wire_next_message(struct wire *, double deadline,
    struct message *);

/* Waits for the reply to the one command that was queued: its result. */
const struct member *wire_call(struct wire *, struct message *);

/*
 * The last line, as a result, an error or an event: exactly one of these, an
 * object each but the event, which is a string.  Anything else ends evctl.
 */
void wire_parse(const struct wire *, struct message *);

/*
 * Whether it is the bye of a session that one of its watchers has ended.  Any
 * other bye ends evctl.
 */
bool wire_is_end(const struct wire *, const struct message *);

/* Ends evctl with what an error reply says, if the message is one. */
void wire_check_error(const struct message *);

/* Adds code and message of an error reply; false if it is none. */
bool wire_read_error(const struct message *, struct buffer *);

/* Ends evctl: the daemon is gone. */
void wire_die(const struct wire *) __attribute__((noreturn));

#endif
