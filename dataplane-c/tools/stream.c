#include "stream.h"

#include <endian.h>
#include <string.h>

#define MAGIC        UINT32_C(0x31434c53) /* "SLC1" read as a little-endian number */
#define PATTERN_STEP UINT64_C(0x9e3779b97f4a7c15)
#define BLOCK_BYTES  sizeof(block)

/* Two words of the pattern: what every 64-bit machine holds in one vector register. */
typedef uint64_t block __attribute__((vector_size(2 * sizeof(uint64_t))));

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the pattern is copied in host order");

struct wire_header {
	uint32_t magic;
	uint32_t stream;
	uint64_t sequence;
	uint64_t sent_ns;
};
_Static_assert(sizeof(struct wire_header) == STREAM_HEADER_BYTES, "header has no padding");

/* Two rounds of xor-shift and multiplication: neighbouring inputs give unrelated words. */
static uint64_t mix(uint64_t value)
{
	value = (value ^ (value >> 32)) * UINT64_C(0xd6e8feb86659fd93);
	value = (value ^ (value >> 32)) * UINT64_C(0xd6e8feb86659fd93);
	return value ^ (value >> 32);
}

/*
 * First word of the pattern. Word k is this plus k steps: one addition per eight bytes, which is what
 * lets one core fill and verify a million datagrams a second.
 */
static uint64_t pattern_start(uint32_t stream, uint64_t sequence, size_t size)
{
	return mix(mix(sequence) ^ ((uint64_t)stream << 32) ^ size);
}

void stream_payload_write(uint8_t *payload, size_t size, uint32_t stream, uint64_t sequence)
{
	const struct wire_header header = {
		.magic = htole32(MAGIC),
		.stream = htole32(stream),
		.sequence = htole64(sequence),
	};
	const uint64_t start = pattern_start(stream, sequence, size);
	block pattern = { start, start + PATTERN_STEP };
	size_t offset = STREAM_HEADER_BYTES;

	memcpy(payload, &header, sizeof(header));
	for (; offset + BLOCK_BYTES <= size; offset += BLOCK_BYTES) {
		memcpy(payload + offset, &pattern, BLOCK_BYTES);
		pattern += 2 * PATTERN_STEP;
	}
	/* A copy, so that only it needs an address and the running pattern stays in a register. */
	const block tail = pattern;
	memcpy(payload + offset, &tail, size - offset);
}

void stream_payload_stamp(uint8_t *payload, uint64_t sent_ns)
{
	const uint64_t wire = htole64(sent_ns);

	memcpy(payload + offsetof(struct wire_header, sent_ns), &wire, sizeof(wire));
}

bool stream_payload_read(const uint8_t *payload, size_t size, struct stream_header *header)
{
	struct wire_header wire;

	if (size < sizeof(wire))
		return false;
	memcpy(&wire, payload, sizeof(wire));
	if (le32toh(wire.magic) != MAGIC)
		return false;
	header->stream = le32toh(wire.stream);
	header->sequence = le64toh(wire.sequence);
	header->sent_ns = le64toh(wire.sent_ns);
	return true;
}

bool stream_payload_verify(const uint8_t *payload, size_t size, const struct stream_header *header)
{
	const uint64_t start = pattern_start(header->stream, header->sequence, size);
	block pattern = { start, start + PATTERN_STEP };
	block difference = { 0 };
	block found;
	size_t offset = STREAM_HEADER_BYTES;

	if (header->sequence >= STREAM_SEQUENCE_LIMIT)
		return false;
	for (; offset + BLOCK_BYTES <= size; offset += BLOCK_BYTES) {
		memcpy(&found, payload + offset, BLOCK_BYTES);
		difference |= pattern ^ found;
		pattern += 2 * PATTERN_STEP;
	}
	const block tail = pattern;
	return (difference[0] | difference[1]) == 0 &&
	       memcmp(payload + offset, &tail, size - offset) == 0;
}
