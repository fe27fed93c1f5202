#ifndef EVD_PARAM_H
#define EVD_PARAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message.h"
#include "peer.h"

/*
 * The members of a command against tables that say which there may be: kind,
 * range, required or not.  Reading, checking, the errors and the list that
 * `make check` compares with the protocol all come from the tables.
 */
#define SECONDS_MAX   1e10
#define INTEGER_MAX   9007199254740991 /* 2^53-1: exact everywhere */
#define NAME_SIZE_MAX 255	       /* bytes, decoded */
#define PATH_SIZE_MAX 4096	       /* bytes, with a NUL: the kernel's */
#define PRIORITY_MAX  2

enum param_kind {
	PARAM_BOOL,	  /* bool */
	PARAM_INTEGER,	  /* int64_t from min to max */
	PARAM_SECONDS,	  /* double from min to max */
	PARAM_PERIOD,	  /* double: 0, or from min to max */
	PARAM_STRING,	  /* struct slice */
	PARAM_STRINGS,	  /* const struct member *, an array of strings */
	PARAM_NAME,	  /* struct name: a watcher's */
	PARAM_SESSION,	  /* struct slice: a name that a session may take */
	PARAM_JSON,	  /* struct slice: any JSON, its text */
	PARAM_PATH,	  /* struct slice: absolute */
	PARAM_BASE64,	  /* struct slice: its text */
	PARAM_EVENTS,	  /* int: libev's EV_READ and EV_WRITE */
	PARAM_SIGNAL,	  /* int: a signal's number, also from its name */
	PARAM_STRING_MAP, /* const struct member *, an object of strings */
};

/*
 * A watcher's name as it stands on the wire: canonical JSON text, so that it
 * is compared, hashed and written without a look inside; the string "5" and
 * the integer 5 differ by themselves.
 */
struct name {
	struct slice json; /* into the line, or the message's room */
};

struct param {
	struct slice name;
	enum param_kind kind;
	bool required;
	enum right right; /* that it needs */
	size_t offset;	  /* of the value in the struct that is filled */
	double min;
	double max;
};

/* An entry of a table; further fields may follow as designated. */
#define PARAM(n, k, type, field, ...)                        \
	{                                                    \
		.name = { n, sizeof(n) - 1 }, .kind = (k),   \
		.offset = offsetof(type, field), __VA_ARGS__ \
	}

#define N_PARAMS(params) (sizeof(params) / sizeof((params)[0]))

/*
 * A table and the struct that it fills.  The struct's first member is a
 * uint32_t in which bit i is set if the i-th member of the table was there;
 * the values of others are left alone.
 */
struct param_set {
	const struct param *params;
	size_t n; /* at most 32 */
	void *values;
};

#define PARAM_BIT(i) (UINT32_C(1) << (i))

/*
 * What members are which of the tables', as far as names tell it.  It is kept
 * from line to line, and holds for lines of the same shape and the same tables.
 * Starts zeroed.
 */
#define PARAM_SETS_MAX	  3
#define PARAM_MEMBERS_MAX ((size_t)PARAM_SETS_MAX * 32)

struct param_plan {
	uint64_t shape;
	const struct param *tables[PARAM_SETS_MAX];
	uint32_t given[PARAM_SETS_MAX];
	uint32_t guarded[PARAM_SETS_MAX]; /* given, and not RIGHT_ALL */
	size_t n; /* so many members are known, from the first */
	const struct param *missing; /* the first that is required, or NULL */
	struct {
		unsigned char set, i;
	} members[PARAM_MEMBERS_MAX];
};

/* Unknown members are an error as any other.  Returns 0, or -1 with error. */
int param_parse(struct message *, const struct param_set *, size_t n_sets,
    struct param_plan *, struct error *);

/* Reads one watcher's name.  Returns 0, or -1 with the error. */
int param_parse_name(struct message *, const struct member *, struct name *,
    struct error *);

/* Adds to a list of names for an error message, as far as there is room. */
void param_list_name(char *list, size_t size, const char *name);

#endif
