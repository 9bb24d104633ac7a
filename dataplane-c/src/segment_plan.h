/*
 * How the datagrams that one rule received in one batch are sent: which of them
 * leave together as one UDP_SEGMENT send (Documentation: udp(7), include/linux/udp.h).
 *
 * The kernel cuts such a send into equal datagrams, the last may be shorter. So a
 * send takes datagrams of one size in the order they came, ends with the first
 * shorter one, and never holds more than 64 segments or 65,507 bytes. What would
 * not fit the output's MTU is sent alone: the kernel fragments a lone datagram but
 * refuses (EMSGSIZE) a send whose segments are too long.
 */
#ifndef SLUICE_SEGMENT_PLAN_H
#define SLUICE_SEGMENT_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "frame.h"

/* UDP_MAX_SEGMENTS of kernels before 6.9. */
#define PLAN_SEND_SEGMENTS   64u
/* 65,535 less the IPv4 and UDP headers. */
#define PLAN_SEND_BYTES      65507u
#define PLAN_HEADER_BYTES    28u
/* Datagrams of one batch; a batch ends with the frame that reaches it. */
#define PLAN_BATCH_DATAGRAMS 1024u
#define PLAN_MAX_DATAGRAMS   (PLAN_BATCH_DATAGRAMS + FRAME_MAX_SEGMENTS)

#define PAYLOAD_NONE 0xffffffffu

/* The datagrams of one frame: one, or those of a super-packet. In lists by index. */
struct payload {
	const uint8_t *bytes;
	uint32_t length;
	uint32_t segment_bytes;
	uint32_t count;
	uint32_t next; /* PAYLOAD_NONE: the last */
};

struct planned_send {
	struct iovec *vectors;
	uint32_t vector_count;
	uint32_t bytes;
	uint32_t datagrams;
	uint32_t segment_bytes; /* 0: one datagram, no UDP_SEGMENT */
};

struct segment_plan {
	uint32_t count;
	struct planned_send sends[PLAN_MAX_DATAGRAMS];
};

/* The longest segment for UDP_SEGMENT on an output with this MTU. */
static inline uint32_t plan_segment_limit(uint32_t mtu)
{
	return mtu > PLAN_HEADER_BYTES ? mtu - PLAN_HEADER_BYTES : 0;
}

/*
 * Plans the list that begins at `first`. Segments longer than `segment_limit` are sent
 * alone; with 0, all are. Writes at most PLAN_MAX_DATAGRAMS vectors to `vectors`;
 * returns how many.
 */
uint32_t segment_plan_make(struct segment_plan *plan, const struct payload *payloads,
			   uint32_t first, uint32_t segment_limit, struct iovec *vectors);

#endif
