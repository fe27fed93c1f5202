#ifndef EVD_ENSURE_H
#define EVD_ENSURE_H

/*
 * Makes sure that a daemon of our own uid answers at a path, and calls start
 * in a new process, detached from the terminal, if there is none.  start must
 * call ready() when clients can connect, serve, and exit; if it returns or
 * exits before, that is a failure.  However many do this at once, one daemon
 * is started.  Returns 0, or -1 after logging why.
 */
int ensure_daemon(const char *path,
    void (*start)(void *arg, void (*ready)(void)), void *arg);

#endif
