#ifndef EVD_TESTS_FUZZ_H
#define EVD_TESTS_FUZZ_H

#include <stdio.h>
#include <stdlib.h>

/* What the fuzzers share. */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* Ends the run with this input as a finding, and says why. */
#define must(condition, ...)                                    \
	do {                                                    \
		if (condition)                                  \
			break;                                  \
		fprintf(stderr, "%s:%d: ", __FILE__, __LINE__); \
		fprintf(stderr, __VA_ARGS__);                   \
		fputc('\n', stderr);                            \
		abort();                                        \
	} while (0)

/*
 * The seeds are what the protocol's transcripts send.  What else a client
 * does between stands there as a byte that is never good in JSON; only
 * fuzz-session knows what they mean.
 */
enum fuzz_action {
	FUZZ_CUT = 0x01,       /* a write ends here, and evd looks at it */
	FUZZ_PASS = 0x02,      /* 10 ms pass */
	FUZZ_PASS_LONG = 0x03, /* 0.3 s */
	FUZZ_READING = 0x04,   /* stops to read, or goes on */
	FUZZ_END_INPUT = 0x05, /* half-closes */
	FUZZ_CLOSE = 0x06,
	FUZZ_OTHER = 0x07,   /* what follows is on the other connection */
	FUZZ_FILL = 0x0e,    /* 30,000 spaces */
	FUZZ_CLOCK = 0x0f,   /* the wall clock is set */
	FUZZ_EXIT = 0x10,    /* the daemon is told to end */
	FUZZ_AGAIN = 0x11,   /* the same write, up to 300 times */
	FUZZ_FD = 0x12,	     /* what follows brings one along: of a pipe */
	FUZZ_FD_NULL = 0x13, /* the same: of /dev/null */
};

static inline int
fuzz_is_action(unsigned char c)
{
	return (c >= FUZZ_CUT && c <= FUZZ_OTHER) ||
	    (c >= FUZZ_FILL && c <= FUZZ_FD_NULL);
}

#endif
