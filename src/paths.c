#include "config.h"

#include "paths.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "memory.h"

/* why: what has named it, for messages. */
static int
paths_make_directory(const char *directory, const char *why)
{
	struct stat st;

	if ((mkdir(directory, 0700) < 0 && errno != EEXIST) ||
	    lstat(directory, &st) < 0) {
		log_error("%s: %s (the socket's directory %s)", directory,
		    strerror(errno), why);
		return -1;
	}
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
	    (st.st_mode & 077) != 0) {
		log_error("%s: expected a directory that belongs to uid %u "
			  "with mode 0700 (the socket's directory %s)",
		    directory, (unsigned)geteuid(), why);
		return -1;
	}
	return 0;
}

char *
paths_own_socket(void)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	bool given = runtime != NULL && runtime[0] == '/';
	char *directory = NULL, *path = NULL;
	int n;

	if (given)
		n = asprintf(&directory, "%s/evd", runtime);
	else
		n = asprintf(&directory, "/tmp/evd-%u", (unsigned)geteuid());
	if (n < 0)
		fatal("out of memory");
	if (paths_make_directory(directory,
		given ? "by XDG_RUNTIME_DIR" : "without XDG_RUNTIME_DIR") ==
		0 &&
	    asprintf(&path, "%s/socket", directory) < 0)
		fatal("out of memory");
	free(directory);
	return path;
}

char *
paths_absolute(const char *path)
{
	char *directory, *absolute = NULL;

	if (path[0] == '/')
		return memory_strdup(path);
	directory = getcwd(NULL, 0);
	if (directory == NULL)
		log_error("%s: the working directory: %s", path,
		    strerror(errno));
	else if (asprintf(&absolute, "%s/%s", directory, path) < 0)
		fatal("out of memory");
	free(directory);
	return absolute;
}

char *
paths_directory(const char *path)
{
	char *directory = memory_strdup(path);
	char *slash = strrchr(directory, '/');

	if (slash == NULL) {
		free(directory);
		return memory_strdup(".");
	}
	slash[slash == directory] = '\0';
	return directory;
}
