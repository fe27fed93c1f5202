#include "config.h"

#include "account.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>

#include "memory.h"

const struct limit_info limit_infos[LIMITS] = {
	[LIMIT_SESSIONS] = { "sessions", "max-sessions", NULL, 16384 },
	[LIMIT_WATCHERS] = { "watchers", "max-watchers", "max-session-watchers",
	    250000 },
	[LIMIT_BYTES] = { "bytes", "max-bytes", "max-session-bytes",
	    64 * 1024 * 1024 },
	[LIMIT_DESCRIPTORS] = { "descriptors", "max-descriptors",
	    "max-session-descriptors", 65536 },
	[LIMIT_CHILDREN] = { "children", "max-children", "max-session-children",
	    4096 },
};

struct limits_uid {
	struct table_node node;
	uid_t uid;
	unsigned int sessions; /* that have an account here */
	uint64_t used[LIMITS];
};

void
limits_init(struct limits *limits)
{
	for (int i = 0; i < LIMITS; i++)
		limits->uid[i] = limits->session[i] = limit_infos[i].value;
	limits->fd_end = INT_MAX;
	table_init(&limits->accounts);
}

void
limits_fini(struct limits *limits)
{
	table_fini(&limits->accounts);
}

static bool
limits_uid_match(const struct table_node *node, const void *key)
{
	return ((const struct limits_uid *)node)->uid == *(const uid_t *)key;
}

void
account_init(struct account *account, struct limits *limits, uid_t uid)
{
	struct limits_uid *found = (struct limits_uid *)table_find(
	    &limits->accounts, uid, limits_uid_match, &uid);

	if (found == NULL) {
		found = memory_zalloc(sizeof(*found));
		found->uid = uid;
		table_insert(&limits->accounts, &found->node, uid);
	}
	found->sessions++;
	*account = (struct account){ .limits = limits, .uid = found };
}

void
account_fini(struct account *account)
{
	struct limits_uid *uid = account->uid;

	for (int i = 0; i < LIMITS; i++)
		account_discharge(account, i, account->used[i]);
	if (--uid->sessions > 0)
		return;
	table_remove(&account->limits->accounts, &uid->node);
	free(uid);
}

static int
account_refuse(enum limit limit, const char *who, const char *option,
    uint64_t max, struct error *error)
{
	return error_set(error, ERROR_LIMIT_EXCEEDED,
	    "too many %s: %s may have %" PRIu64 " (option --%s)",
	    limit_infos[limit].name, who, max, option);
}

int
account_charge(struct account *account, enum limit limit, uint64_t n,
    struct error *error)
{
	const struct limit_info *info = &limit_infos[limit];
	uint64_t uid_max = account->limits->uid[limit];
	uint64_t session_max = account->limits->session[limit];

	if (info->session_option != NULL &&
	    account->used[limit] + n > session_max)
		return account_refuse(limit, "a session", info->session_option,
		    session_max, error);
	if (account->uid->used[limit] + n > uid_max)
		return account_refuse(limit, "all sessions of a uid together",
		    info->uid_option, uid_max, error);
	account->used[limit] += n;
	account->uid->used[limit] += n;
	account->limits->used[limit] += n;
	return 0;
}

void
account_discharge(struct account *account, enum limit limit, uint64_t n)
{
	account->used[limit] -= n;
	account->uid->used[limit] -= n;
	account->limits->used[limit] -= n;
}

int
account_check_fd(const struct account *account, int fd, struct error *error)
{
	if (fd < account->limits->fd_end)
		return 0;
	return error_set(error, ERROR_LIMIT_EXCEEDED,
	    "too many descriptors: the daemon has room for %d in all (its "
	    "RLIMIT_NOFILE, less a reserve)",
	    account->limits->fd_end);
}

uid_t
account_uid(const struct account *account)
{
	return account->uid->uid;
}
