/* A worker's end of the channel, and the supervisor's events, for tests. */
#ifndef SLUICE_TEST_PEER_H
#define SLUICE_TEST_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice.h"

/* Connects to the channel. -errno when refused. */
int peer_connect(const char *channel);
/* Connects, says HELLO and waits for its event, whose connection number is returned. */
uint32_t peer_greet(const char *channel, int pipe, int *peer, uint32_t slot);
/* A report of channel.h. True when it was taken. */
bool peer_report(int peer, uint32_t kind, uint64_t a, uint64_t b);
/* Sends ACKs 0, 1, 2, … until neither the pipe of events, of which this is the reader, nor the socket takes more. How many. */
uint64_t peer_fill(int peer, int pipe);
/* True when the channel is closed within 10 s. Closes the peer. */
bool peer_is_closed(int peer);
/*
 * The next message, up to `capacity` bytes, waiting up to 10 s; up to 4 descriptors.
 * 0: the channel was closed. -1: nothing came.
 */
long peer_receive(int peer, void *message, uint32_t capacity, int *fds, uint32_t *fd_count);

/* The next event. kind 0: none in 10 s, or the end. */
struct sluice_event any_event(int pipe);
/* The next event but LINKS, which come when they please. */
struct sluice_event next_event(int pipe);
/* The next LINKS event. */
struct sluice_event next_links_event(int pipe);

/* Sends a command without a body. 0 or -errno. */
int send_command(uint32_t connection, uint64_t sequence, const int *fds, uint32_t fd_count);

#endif
