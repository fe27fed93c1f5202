#include "config.h"

#include "zones.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "memory.h"

#define ZONE_DIRECTORY "/usr/share/zoneinfo"
#define ZONE_LOCAL     "/etc/localtime"
#define NAME_SIZE_MAX  255

/* --- files ------------------------------------------------------------------ */

static struct zone *
zones_read_file(int fd, size_t size, int *err)
{
	unsigned char *bytes = memory_alloc(size);
	struct zone *zone = NULL;
	ssize_t n = read(fd, bytes, size);

	if (n < 0)
		*err = -errno;
	else
		zone = zone_parse(bytes, n);
	free(bytes);
	return zone;
}

/* Whatever else may lie there must neither block nor be read. */
static struct zone *
zones_load_file(int directory, const char *path, int *err)
{
	int fd = openat(directory, path,
	    O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct zone *zone = NULL;
	struct stat st;

	*err = -EINVAL;
	if (fd < 0 || fstat(fd, &st) < 0)
		*err = -errno;
	else if (S_ISREG(st.st_mode) && st.st_size > 0 &&
	    st.st_size <= ZONE_FILE_SIZE_MAX)
		zone = zones_read_file(fd, st.st_size, err);
	if (fd >= 0)
		close(fd);
	return zone;
}

/* --- names ------------------------------------------------------------------ */

/*
 * Words with slashes between them; a word begins with no dot, so that no name
 * leads out of the directory.
 */
static bool
zones_name_is_good(const char *name, size_t len)
{
	bool begins = true;

	if (len == 0 || len > NAME_SIZE_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = name[i];

		if (!isalnum(c) && (begins || c == '\0' || !strchr("/_+-", c)))
			return false;
		begins = c == '/';
	}
	return !begins;
}

static struct zone *
zones_load(struct zones *zones, const char *name, int *err)
{
	int directory = open(zones->directory,
	    O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct zone *zone;

	if (directory < 0) {
		*err = -errno;
		return NULL;
	}
	zone = zones_load_file(directory, name, err);
	close(directory);
	return zone;
}

/* Errors of which the name is the cause. */
static bool
zones_is_unknown(int err)
{
	return err == -ENOENT || err == -ENOTDIR || err == -ENAMETOOLONG ||
	    err == -ELOOP || err == -EISDIR || err == -ENXIO;
}

int
zones_find(struct zones *zones, const char *name, size_t len,
    struct zone **found)
{
	struct zone *zone;
	char *copy;
	int err;

	if (!zones_name_is_good(name, len))
		return -EINVAL;
	LIST_FOREACH(zone, &zones->named, entry) {
		if (strlen(zone->name) != len ||
		    memcmp(zone->name, name, len) != 0)
			continue;
		*found = zone_ref(zone);
		return 0;
	}
	copy = memory_copy(name, len);
	zone = zones_load(zones, copy, &err);
	if (zone == NULL) {
		free(copy);
		return zones_is_unknown(err) ? -EINVAL : err;
	}
	zone->name = copy;
	LIST_INSERT_HEAD(&zones->named, zone, entry);
	*found = zone;
	return 0;
}

struct zone *
zones_own(struct zones *zones)
{
	return zone_ref(zones->own);
}

/* A path, a name or a rule, as in TZ. */
static struct zone *
zones_load_own(struct zones *zones, const char *tz, int *err)
{
	struct zone *zone;

	if (*tz == '/')
		return zones_load_file(AT_FDCWD, tz, err);
	*err = -EINVAL;
	if (zones_name_is_good(tz, strlen(tz))) {
		zone = zones_load(zones, tz, err);
		if (zone != NULL)
			return zone;
		if (zones_is_unknown(*err))
			*err = -EINVAL;
	}
	return zone_parse_rule(tz, strlen(tz));
}

void
zones_init(struct zones *zones)
{
	const char *tz = getenv("TZ");
	int err;

	zones->directory = getenv("TZDIR");
	if (zones->directory == NULL || *zones->directory != '/')
		zones->directory = ZONE_DIRECTORY;
	LIST_INIT(&zones->named);

	if (tz == NULL)
		tz = ZONE_LOCAL;
	else if (*tz == ':')
		tz++;
	zones->own = zones_load_own(zones, *tz == '\0' ? "UTC0" : tz, &err);
	if (zones->own != NULL)
		return;
	if (getenv("TZ") != NULL || err != -ENOENT)
		log_warning("the time zone %s can't be read (%s): it is UTC",
		    tz,
		    err == -EINVAL ?
			"expected one of tzdata, a file or a rule" :
			strerror(-err));
	zones->own = zone_parse_rule("UTC0", 4);
}

void
zones_fini(struct zones *zones)
{
	zone_unref(zones->own);
}
