/* Reads a shard's ring the plain way, so that tests of the supervisor half need no worker. */
#ifndef SLUICE_CAPTURE_H
#define SLUICE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sluice.h"

struct capture {
	int fd;
	struct sluice_ring ring;
	uint8_t *slots;
	uint32_t cursor;
};

struct captured {
	const uint8_t *frame; /* valid until the next take */
	size_t bytes;         /* in the slot */
	size_t wire_bytes;
	uint32_t status;
	uint16_t vlan; /* tag control; 0 when there is none */
};

void capture_open(struct capture *capture, int fd, const struct sluice_ring *ring);
void capture_close(struct capture *capture);

/* The next frame; gives the one before back. False when none is there. */
bool capture_take(struct capture *capture, struct captured *captured);
/* The same, waiting up to 10 s. */
bool capture_await(struct capture *capture, struct captured *captured);

/* The first 4 bytes of the payload of an untagged datagram. */
uint32_t captured_mark(const struct captured *captured);

#endif
