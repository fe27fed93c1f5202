#ifndef EVD_PATHS_H
#define EVD_PATHS_H

/*
 * The path of the user's own socket: $XDG_RUNTIME_DIR/evd/socket, or without
 * that variable /tmp/evd-UID/socket.  Its directory is made if it is not
 * there, and must be ours, of mode 0700 and no symbolic link: in /tmp anybody
 * could have put something else.  free() it; NULL after logging why.
 */
char *paths_own_socket(void);

/* The same path from the root, as a daemon changes directory.  free() it. */
char *paths_absolute(const char *path);

/* The directory that a path is in, itself or ".".  free() it. */
char *paths_directory(const char *path);

#endif
