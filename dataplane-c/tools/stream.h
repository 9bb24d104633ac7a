/*
 * The payload that sluice-gen sends and sluice-recv verifies.
 *
 *   offset  bytes
 *        0  4      magic, the letters SLC1
 *        4  4      stream id
 *        8  8      sequence, from 0, by one per datagram of the stream
 *       16  8      send time, nanoseconds of CLOCK_REALTIME
 *       24  …      pattern, a function of stream, sequence, size and offset
 *
 * All fields are little endian. The size is part of the pattern, so that a datagram that was cut or
 * padded on its way fails to verify like one whose bytes were changed (only a cut to the bare header
 * leaves nothing to verify). The send time is not, so that it can be stamped last, just before the
 * system call.
 */
#ifndef SLUICE_TOOLS_STREAM_H
#define SLUICE_TOOLS_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_HEADER_BYTES      24u
#define STREAM_PAYLOAD_BYTES_MAX 65507u /* largest UDP payload of IPv4 */
#define STREAM_SEQUENCE_LIMIT    (UINT64_C(1) << 62)

struct stream_header {
	uint32_t stream;
	uint64_t sequence;
	uint64_t sent_ns;
};

/*
 * Writes header and pattern over all size bytes; the send time stays zero until stamped.
 * size is at least STREAM_HEADER_BYTES.
 */
void stream_payload_write(uint8_t *payload, size_t size, uint32_t stream, uint64_t sequence);

/* Sets the send time of a written payload. */
void stream_payload_stamp(uint8_t *payload, uint64_t sent_ns);

/* Reads the header; false if these bytes are too short or do not begin with the magic. */
bool stream_payload_read(const uint8_t *payload, size_t size, struct stream_header *header);

/*
 * True if the bytes after the header are those that stream_payload_write makes for this header and
 * size. Reads all of them whatever it finds, so that verifying costs the same at every loss rate.
 */
bool stream_payload_verify(const uint8_t *payload, size_t size, const struct stream_header *header);

#endif
