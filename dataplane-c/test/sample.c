#include "sample.h"

#include <string.h>

void sample_put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint16_t checksum(const uint8_t *bytes, size_t count, uint32_t sum)
{
	for (size_t at = 0; at < count; at++)
		sum += at % 2 ? bytes[at] : (uint32_t)bytes[at] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

void sample_seal_ip(uint8_t *ip)
{
	sample_put16(ip + 10, 0);
	sample_put16(ip + 10, checksum(ip, (size_t)(ip[0] & 15) * 4, 0));
}

static void seal_udp(const uint8_t *ip, uint8_t *udp, uint16_t udp_bytes)
{
	uint32_t pseudo = 17 + udp_bytes;
	uint16_t sum;

	for (unsigned at = 12; at < 20; at += 2)
		pseudo += (uint32_t)(ip[at] << 8 | ip[at + 1]);
	sample_put16(udp + 6, 0);
	sum = checksum(udp, udp_bytes, pseudo);
	sample_put16(udp + 6, sum ? sum : 0xffff);
}

struct sample sample_of(uint16_t payload_bytes)
{
	static const uint8_t addresses[8] = { 10, 0, 0, 5, 239, 1, 1, 1 };
	struct sample sample = { .bytes = { 0x01, 0x00, 0x5e, 1, 1, 1, 2, 0, 0, 0, 0, 1, 8, 0 } };
	uint8_t *ip = sample.bytes + IP;
	uint8_t *udp = sample.bytes + UDP;

	ip[0] = 0x45;
	sample_put16(ip + 2, (uint16_t)(28 + payload_bytes));
	sample_put16(ip + 6, 0x4000); /* don't fragment */
	ip[8] = 16;
	ip[9] = 17;
	memcpy(ip + 12, addresses, sizeof(addresses));
	sample_put16(udp, 4000);
	sample_put16(udp + 2, 5001);
	sample_put16(udp + 4, (uint16_t)(8 + payload_bytes));
	for (unsigned at = 0; at < payload_bytes; at++)
		udp[8 + at] = (uint8_t)(at * 7 + 1);
	sample_seal_ip(ip);
	seal_udp(ip, udp, (uint16_t)(8 + payload_bytes));
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
	sample_put16(sample.bytes + IP + 2, (uint16_t)(28 + 64 + count));
	sample_seal_ip(sample.bytes + IP);
	sample.frame.captured += count;
	sample.frame.length += count;
	return sample;
}

void sample_insert_tag(struct sample *sample, uint16_t ethertype, uint16_t tci)
{
	memmove(sample->bytes + 16, sample->bytes + 12, sample->frame.captured - 12);
	sample_put16(sample->bytes + 12, ethertype);
	sample_put16(sample->bytes + 14, tci);
	sample->frame.captured += 4;
	sample->frame.length += 4;
}
