/* Bytes of frames, as those write them who make frames: tests, benchmarks and fuzz targets. */
#ifndef SLUICE_TEST_FRAME_BYTES_H
#define SLUICE_TEST_FRAME_BYTES_H

#include <stddef.h>
#include <stdint.h>

/* Its lower 16 bits, in network order. */
static inline void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* RFC 1071; `sum` is that of what is covered as well. */
static inline uint16_t internet_checksum(const uint8_t *bytes, size_t count, uint32_t sum)
{
	for (size_t at = 0; at < count; at++)
		sum += at % 2 ? bytes[at] : (uint32_t)bytes[at] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* Makes the header's checksum right, options and all. */
static inline void seal_ip(uint8_t *ip)
{
	put16(ip + 10, 0);
	put16(ip + 10, internet_checksum(ip, (size_t)(ip[0] & 15) * 4, 0));
}

/* Makes the checksum of the datagram behind the header right; 0 would mean that it has none. */
static inline void seal_udp(uint8_t *ip)
{
	uint8_t *udp = ip + (size_t)(ip[0] & 15) * 4;
	const uint32_t udp_bytes = (uint32_t)udp[4] << 8 | udp[5];
	uint32_t pseudo = 17 + udp_bytes;
	uint16_t sum;

	for (unsigned at = 12; at < 20; at += 2)
		pseudo += (uint32_t)ip[at] << 8 | ip[at + 1];
	put16(udp + 6, 0);
	sum = internet_checksum(udp, udp_bytes, pseudo);
	put16(udp + 6, sum ? sum : 0xffff);
}

#endif
