#include "config.h"

#include "hash.h"

#include <string.h>
#include <sys/random.h>

#include "log.h"

void
hash_key_init(struct hash_key *key)
{
	if (getrandom(key, sizeof(*key), 0) != sizeof(*key))
		fatal("getrandom: no random bytes for the hash key");
}

#define ROTL(x, n) (((x) << (n)) | ((x) >> (64 - (n))))

static inline void
hash_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = ROTL(v[1], 13) ^ v[0];
	v[0] = ROTL(v[0], 32);
	v[2] += v[3];
	v[3] = ROTL(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = ROTL(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = ROTL(v[1], 17) ^ v[2];
	v[2] = ROTL(v[2], 32);
}

static inline void
hash_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	hash_round(v);
	v[0] ^= word;
}

uint32_t
hash_bytes(const struct hash_key *key, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	uint64_t v[4] = {
		key->k0 ^ 0x736f6d6570736575ULL,
		key->k1 ^ 0x646f72616e646f6dULL,
		key->k0 ^ 0x6c7967656e657261ULL,
		key->k1 ^ 0x7465646279746573ULL,
	};
	uint64_t word;
	size_t left = len;

	for (; left >= 8; left -= 8, p += 8) {
		memcpy(&word, p, 8);
		hash_word(v, word);
	}
	word = 0;
	memcpy(&word, p, left);
	hash_word(v, word | (uint64_t)len << 56);
	v[2] ^= 0xff;
	hash_round(v);
	hash_round(v);
	hash_round(v);
	word = v[0] ^ v[1] ^ v[2] ^ v[3];
	return (uint32_t)(word ^ word >> 32);
}
