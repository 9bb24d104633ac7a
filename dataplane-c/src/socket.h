/* Steps that every socket of the supervisor half goes through. */
#ifndef SLUICE_SOCKET_H
#define SLUICE_SOCKET_H

/* setsockopt with an int. 0 or -errno. */
int socket_option(int fd, int level, int name, int value);

/*
 * A classic filter that passes nothing: what the socket would have queued is
 * dropped before it takes memory. 0 or -errno.
 */
int socket_drop_all(int fd);

/* Makes the filter attached now final: nobody who holds the descriptor can change it. */
int socket_lock_filter(int fd);

/*
 * A UDP socket that blocks nobody and queues nothing, whoever holds it. The filter comes first: once bound, a socket
 * is reachable. A descriptor, or -errno.
 */
int socket_open_deaf(void);

/* Ties a socket to one interface by index, which a rename does not change. */
int socket_bind_interface(int fd, unsigned ifindex);

#endif
