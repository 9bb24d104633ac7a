/* Frames to parse: one that is right, and what the tests do to it. */
#ifndef SLUICE_TEST_SAMPLE_H
#define SLUICE_TEST_SAMPLE_H

#include "../src/frame.h"

/* Where what begins, in a frame without tag and options. */
#define IP      14u
#define UDP     (IP + 20u)
#define PAYLOAD (UDP + 8u)

/* One datagram of `payload_bytes` in a frame, and what the capture says of it. */
struct sample {
	uint8_t bytes[2048];
	struct frame frame;
};

/* From 10.0.0.5:4000 to 239.1.1.1:5001, checksums and all. */
struct sample sample_of(uint16_t payload_bytes);
/* One of 64 bytes with `count` bytes of options, a multiple of 4, in a header that says so. */
struct sample sample_with_options(const uint8_t *options, uint32_t count);
void sample_insert_tag(struct sample *sample, uint16_t ethertype, uint16_t tci);

#endif
