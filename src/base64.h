#ifndef EVD_BASE64_H
#define EVD_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#include "buffer.h"

/* Bytes as text: RFC 4648, section 4, with its padding. */

/* The most bytes that len characters can stand for. */
#define BASE64_DECODED_MAX(len) ((len) / 4 * 3)

/*
 * Returns how many bytes there are, and writes them to out unless that is
 * NULL; -1 if the text is not as it must be.
 */
int base64_decode(const char *text, size_t len, char *out);

/* As a JSON string. */
void base64_put(struct buffer *, const char *bytes, size_t len);

#endif
