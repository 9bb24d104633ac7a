/*
 * Datagrams for a relay_rig: sent to rule N's input and received from output N's
 * destination, both in the far namespace. Payloads tell their sequence and length.
 */
#ifndef SLUICE_RELAY_TRAFFIC_H
#define SLUICE_RELAY_TRAFFIC_H

#include <netinet/in.h>
#include <stdbool.h>

#include "relay_rig.h"

#define TRAFFIC_PATIENCE_MS 10000

int traffic_sender(struct rig *rig);
void traffic_send(int sender, uint32_t number, const void *payload, uint32_t bytes);
/* As one UDP_SEGMENT send: over veth it arrives as one super-packet. */
void traffic_send_segments(int sender, uint32_t number, const void *payload, uint32_t bytes,
			   uint16_t segment_bytes);
int traffic_receiver(struct rig *rig, uint32_t number);
/* The next datagram's length, within `timeout_ms`; -1: none. */
int traffic_receive(int receiver, void *payload, uint32_t capacity, int timeout_ms);
/* Likewise, with what its header said. */
int traffic_receive_header(int receiver, struct sockaddr_in *from, int *ttl, int *tos);

void traffic_fill(uint8_t *payload, uint32_t sequence, uint32_t bytes);
/* Fills and sends one. */
void traffic_send_numbered(int sender, uint32_t number, uint32_t sequence, uint32_t bytes);
/* The next datagram is that one; says what else it is. */
bool traffic_expect(int receiver, uint32_t sequence, uint32_t bytes);
/* Nothing more is there now. */
bool traffic_is_over(int receiver);

#endif
