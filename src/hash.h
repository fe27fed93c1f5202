#ifndef EVD_HASH_H
#define EVD_HASH_H

#include <stddef.h>
#include <stdint.h>

/* A secret of this process, so that no client can choose names that collide. */
struct hash_key {
	uint64_t k0, k1;
};

/* Fills the key from the kernel's random source. */
void hash_key_init(struct hash_key *);

/* SipHash-1-3 of the bytes, folded to 32 bits. */
uint32_t hash_bytes(const struct hash_key *, const void *, size_t);

#endif
