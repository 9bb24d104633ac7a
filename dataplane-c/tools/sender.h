/* Queues datagrams of patterned streams and sends them in as few system calls as their shape allows. */
#ifndef SLUICE_TOOLS_SENDER_H
#define SLUICE_TOOLS_SENDER_H

#include "endpoint.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What does not change while sending. */
struct sender_settings {
	struct endpoint to;
	union socket_address source; /* family AF_UNSPEC: the interface's own address */
	uint16_t source_port;        /* 0: the kernel chooses */
	uint8_t ttl;
	unsigned streams;
	unsigned burst; /* datagrams of one stream back to back */
	size_t payload_bytes;
	bool segment; /* bursts may leave as one UDP_SEGMENT send each */
};

struct sender_counts {
	uint64_t sent_packets;
	uint64_t sent_bytes; /* of payload */
	uint64_t
		retries; /* refused sends (full queue, ICMP error of an earlier datagram) tried again */
};

struct sender;

/*
 * Opens the socket and allocates every buffer; nothing is allocated later. Ends the process with the
 * reason if that is not possible. When *stop becomes non-zero, sends that wait are abandoned.
 */
struct sender *sender_open(const struct sender_settings *settings,
			   const volatile sig_atomic_t *stop);

/*
 * Queues count datagrams of a stream. When the batch is full it is sent, which *flushed tells.
 * Returns 0, or −errno if the kernel refuses for good.
 */
int sender_queue(struct sender *sender, unsigned stream, uint64_t sequence, unsigned count,
		 bool *flushed);

/* Stamps and sends what is queued. Returns 0 or −errno; counts hold what was really sent. */
int sender_flush(struct sender *sender);

const struct sender_counts *sender_counts(const struct sender *sender);

/* True if bursts leave as UDP_SEGMENT sends (they fit the MTU and the kernel has not refused). */
bool sender_segments(const struct sender *sender);

void sender_close(struct sender *sender);

#endif
