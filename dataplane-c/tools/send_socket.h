/*
 * The one socket that sluice-gen sends from.
 *
 * Capabilities: none for the interface's own address; CAP_NET_RAW or CAP_NET_ADMIN to pose as another.
 */
#ifndef SLUICE_TOOLS_SEND_SOCKET_H
#define SLUICE_TOOLS_SEND_SOCKET_H

#include "sender.h"

/*
 * A non-blocking socket, bound to interface, source address and port. Ends the process with the reason
 * if that is not possible.
 */
int send_socket_open(const struct sender_settings *settings);

/*
 * Makes every longer send a series of payload_bytes datagrams, if one fits the interface's MTU and the
 * kernel agrees. False: sends stay plain.
 */
bool send_socket_segment(int fd, const struct sender_settings *settings);

/* Back to plain sends. */
void send_socket_unsegment(int fd);

/* Takes all that waits in the socket's error queue and returns how much that was. */
unsigned send_socket_drain_errors(int fd);

#endif
