/*
 * What frame_parse() costs for one frame.
 *
 * The frames lie in 2 KiB slots like a ring's, 64 of them: in the first-level cache, as
 * the kernel has just written them on the same core's behalf.
 */
#include "../src/frame.h"
#include "../test/frame_bytes.h"
#include "bench.h"

#include <arpa/inet.h>
#include <string.h>

#define FRAMES     64u
#define SLOT_BYTES 2048u

static uint8_t slots[FRAMES][SLOT_BYTES];
static struct frame frames[FRAMES];

static void make_frame(uint32_t index, uint16_t payload_bytes, bool tagged, bool vouched)
{
	uint8_t *bytes = slots[index];
	uint8_t *ip = bytes + (tagged ? 18 : 14);
	uint8_t *udp = ip + 20;

	memset(bytes, (int)index, SLOT_BYTES);
	put16(bytes + 12, tagged ? 0x8100 : 0x0800);
	if (tagged) {
		put16(bytes + 14, 7);
		put16(bytes + 16, 0x0800);
	}
	memset(ip, 0, 28);
	ip[0] = 0x45;
	put16(ip + 2, 28u + payload_bytes);
	ip[8] = 16;
	ip[9] = 17;
	put16(ip + 12, 0x0a00 + index);
	put16(ip + 16, 0xef01);
	seal_ip(ip);
	put16(udp + 2, 5001);
	put16(udp + 4, 8u + payload_bytes);
	seal_udp(ip);
	frames[index] = (struct frame){
		.bytes = bytes,
		.captured = (uint32_t)(udp - bytes) + 8 + payload_bytes,
		.length = (uint32_t)(udp - bytes) + 8 + payload_bytes,
		.checksum_vouched = vouched,
	};
}

static uint64_t parse(uint32_t operations)
{
	uint64_t sum = 0;

	for (uint32_t at = 0; at < operations; at++) {
		struct datagrams datagrams;

		if (frame_parse(&frames[at % FRAMES], &datagrams) != FRAME_OK)
			abort();
		sum += datagrams.payload_bytes + datagrams.source_be + datagrams.port_be;
	}
	return sum;
}

static void bench_parse(const char *name, uint16_t payload_bytes, bool tagged, bool vouched)
{
	for (uint32_t index = 0; index < FRAMES; index++)
		make_frame(index, payload_bytes, tagged, vouched);
	bench(name, parse);
}

int main(void)
{
	bench_parse("parse, 1400 bytes, checksum vouched for", 1400, false, true);
	bench_parse("parse, 1400 bytes, tag in the frame", 1400, true, true);
	bench_parse("parse, 64 bytes, checksum verified", 64, false, false);
	bench_parse("parse, 1400 bytes, checksum verified", 1400, false, false);
	return 0;
}
