#ifndef EVCTL_VALUE_H
#define EVCTL_VALUE_H

#include "buffer.h"

/*
 * Words of the command line as JSON.  Each ends evctl with wrong usage if the
 * word can't be had as that; what says which word it was.
 */

/* A string; the word must be UTF-8. */
void value_put_string(struct buffer *, const char *what, const char *word);

/* Any JSON: the word's own text. */
void value_put_json(struct buffer *, const char *what, const char *word);

/* What is JSON as it is, and everything else as a string. */
void value_put(struct buffer *, const char *what, const char *word);

/* A watcher's name: digits alone are an integer, all else is a string. */
void value_put_name(struct buffer *, const char *what, const char *word);

/* A member whose value is the path from the root: PATH, or PATH_base64. */
void value_put_path(struct buffer *, const char *member, const char *path);

/* A descriptor's number, or -1 if the word is none. */
int value_parse_fd(const char *word);

#endif
