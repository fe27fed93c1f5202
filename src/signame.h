#ifndef EVD_SIGNAME_H
#define EVD_SIGNAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Signals by name: "USR1", "SIGUSR1", "RTMIN", "RTMIN+3", "RTMAX-1". */

/* The number, or 0 if there is no such signal. */
int signame_parse(const char *, size_t len);

/* Whether a program can have a signal of that number. */
bool signame_is_signal(int64_t);

#endif
