#ifndef EVD_BACKEND_H
#define EVD_BACKEND_H

/* The name of one of libev's backends, an EVBACKEND_ constant: "epoll". */
const char *backend_name(unsigned int);

#endif
