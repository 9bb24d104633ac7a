/*
 * The sockets that sluice-recv listens on: one per destination, so that memberships never meet
 * igmp_max_memberships, and nothing but its own destination arrives at each.
 */
#ifndef SLUICE_TOOLS_RECEIVE_SOCKET_H
#define SLUICE_TOOLS_RECEIVE_SOCKET_H

#include "endpoint.h"
#include "tally.h"

#include <stdint.h>
#include <sys/socket.h>

#define RECEIVE_CONTROL_BYTES 128u /* room for TTL, traffic class and time */

/* From now on what the kernel merged comes as one, and its control messages say of what size it was. */
void receive_socket_take_merged(int fd);

/* From now on the kernel hands over one of so many, at random, and counts the others as dropped. */
void receive_socket_sample(int fd, unsigned one_of);

/*
 * A non-blocking socket bound to the destination and, if that is a group, joined to it on the
 * interface; a source that is not AF_UNSPEC restricts the membership to it. Ends the process with the
 * reason if that is not possible. Without CAP_NET_ADMIN the buffer is limited by net.core.rmem_max.
 */
int receive_socket_open(const struct endpoint *in, const union socket_address *destination,
			const union socket_address *source, int buffer_bytes);

/* Reads TTL and DSCP from a received message into the arrival. */
void receive_socket_read_control(struct msghdr *message, struct arrival *arrival);

/* Datagrams that the kernel has dropped at this socket: buffer full, or checksum wrong. */
uint32_t receive_socket_drops(int fd);

#endif
