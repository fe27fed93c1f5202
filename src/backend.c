#include "config.h"

#include "backend.h"

#include <ev.h>
#include <stddef.h>

const char *
backend_name(unsigned int number)
{
	static const struct {
		unsigned int number;
		const char *name;
	} backends[] = {
		{ EVBACKEND_SELECT, "select" },
		{ EVBACKEND_POLL, "poll" },
		{ EVBACKEND_EPOLL, "epoll" },
		{ EVBACKEND_LINUXAIO, "linuxaio" },
		{ EVBACKEND_IOURING, "io_uring" },
	};

	for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++)
		if (backends[i].number == number)
			return backends[i].name;
	return "unknown";
}
