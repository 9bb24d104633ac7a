/* UDP sockets of the ends of a pair: senders, applications, witnesses. */
#ifndef SLUICE_TEST_DATAGRAM_H
#define SLUICE_TEST_DATAGRAM_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "veth_pair.h"

#define TEST_GROUP "239.3.0.1"
#define TEST_PORT  5000

struct sockaddr_in endpoint(const char *address, uint16_t port);

/* Non-blocking. */
int open_udp(void);

/*
 * Bound, reports TTL and TOS; joined when `group` is not NULL; with SO_REUSEADDR when
 * `shared`. -1 when the port is taken.
 */
int receiver(const char *address, uint16_t port, const char *group, uint32_t ifindex, bool shared);

struct arrival {
	ssize_t bytes; /* -1: none came in 10 s */
	struct sockaddr_in from;
	int ttl, tos;
};

struct arrival receive(int fd);

/* Nothing is queued now. */
bool is_empty(int fd);

/*
 * From far to the near end's TEST_PORT: 0 bytes to the reserved group 224.0.0.0, 1 to
 * NEAR_ADDRESS, 2 to TEST_GROUP, in this order, so that whoever has the last would have
 * had the others.
 */
void send_to_near(const struct veth_pair *pair);

/* An option of type int, or -errno. */
int option(int fd, int level, int name);

#endif
