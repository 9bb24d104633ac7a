#include "sample.h"
#include "frame_bytes.h"

#include <string.h>

struct sample sample_of(uint16_t payload_bytes)
{
	static const uint8_t addresses[8] = { 10, 0, 0, 5, 239, 1, 1, 1 };
	struct sample sample = { .bytes = { 0x01, 0x00, 0x5e, 1, 1, 1, 2, 0, 0, 0, 0, 1, 8, 0 } };
	uint8_t *ip = sample.bytes + IP;
	uint8_t *udp = sample.bytes + UDP;

	ip[0] = 0x45;
	put16(ip + 2, 28u + payload_bytes);
	put16(ip + 6, 0x4000); /* don't fragment */
	ip[8] = 16;
	ip[9] = 17;
	memcpy(ip + 12, addresses, sizeof(addresses));
	put16(udp, 4000);
	put16(udp + 2, 5001);
	put16(udp + 4, 8u + payload_bytes);
	for (unsigned at = 0; at < payload_bytes; at++)
		udp[8 + at] = (uint8_t)(at * 7 + 1);
	seal_ip(ip);
	seal_udp(ip);
	sample.frame.captured = PAYLOAD + payload_bytes;
	sample.frame.length = sample.frame.captured;
	return sample;
}

struct sample sample_with_options(const uint8_t *options, uint32_t count)
{
	struct sample sample = sample_of(64);

	memmove(sample.bytes + UDP + count, sample.bytes + UDP, 72);
	memcpy(sample.bytes + UDP, options, count);
	sample.bytes[IP] = (uint8_t)(0x45 + count / 4);
	put16(sample.bytes + IP + 2, 28 + 64 + count);
	seal_ip(sample.bytes + IP);
	sample.frame.captured += count;
	sample.frame.length += count;
	return sample;
}

void sample_insert_tag(struct sample *sample, uint16_t ethertype, uint16_t tci)
{
	memmove(sample->bytes + 16, sample->bytes + 12, sample->frame.captured - 12);
	put16(sample->bytes + 12, ethertype);
	put16(sample->bytes + 14, tci);
	sample->frame.captured += 4;
	sample->frame.length += 4;
}
