#ifndef EVD_SERVER_H
#define EVD_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "account.h"
#include "socket.h"

struct server_options {
	int fd;		  /* a listening socket that was passed, or -1 */
	const char *path; /* else where to listen */
	mode_t mode;	  /* of the socket */
	double exit_idle; /* seconds without a client; negative: never */
	bool no_paths;	  /* nobody may have evd open or watch one */
	bool no_spawn;	  /* nobody may have evd start a program */
	uint64_t uid_limits[LIMITS];	 /* 0: the default */
	uint64_t session_limits[LIMITS]; /* 0: the uid's */
};

struct server;

/* NULL after logging why. */
struct server *server_new(const struct server_options *);

/* Serves until a signal or idleness ends it. */
void server_run(struct server *);

void server_free(struct server *);

#endif
