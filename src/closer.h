#ifndef EVD_CLOSER_H
#define EVD_CLOSER_H

/*
 * Closes a descriptor that a client has passed, without waiting.  close(2) of
 * a socket with SO_LINGER waits until the peer has taken what is unsent, if
 * nobody else has the socket open any more, and the option is the owner's to
 * set: that is left to a thread which does nothing else.
 */
void closer_close(int fd);

#endif
