/*
 * Any frame, with anything the capture may say of it: parsed, looked up, planned.
 *
 * Input: struct described, then the frame's bytes. The fuzzer can't guess checksums,
 * so two bits of it ask for right ones.
 */
#include "../src/frame.h"
#include "../src/segment_plan.h"
#include "../src/table.h"
#include "../test/frame_bytes.h"
#include "fuzz.h"

#include <arpa/inet.h>
#include <string.h>
#include <unistd.h>

struct described {
	uint16_t cut;    /* bytes that the wire had and the capture has not */
	uint16_t padded; /* bytes of the input that the capture leaves out */
	uint16_t vlan_tci;
	uint16_t gso_bytes;
	uint8_t gso_type;
	uint8_t flags; /* enum described_flag */
	uint8_t segment_limit;
	uint8_t reserved;
};

enum described_flag { VLAN_VALID = 1u, CHECKSUM_VOUCHED = 2u, REPAIR_IP = 4u, REPAIR_UDP = 8u };

static struct table table;

static size_t ethernet_bytes(const uint8_t *bytes)
{
	return bytes[12] == 0x81 && bytes[13] == 0 ? 18 : 14;
}

/* Where the header is whole; what else is wrong stays so. */
static void repair(uint8_t *bytes, size_t count, uint8_t flags)
{
	const size_t at = count < 38 ? 0 : ethernet_bytes(bytes);
	uint8_t *ip = bytes + at;
	size_t header_bytes;
	size_t udp_bytes;

	if (!at || count < at + 20)
		return;
	header_bytes = (size_t)(ip[0] & 15) * 4;
	if (header_bytes < 20 || at + header_bytes + 8 > count)
		return;
	if (flags & REPAIR_IP)
		seal_ip(ip);
	udp_bytes = (size_t)ip[header_bytes + 4] << 8 | ip[header_bytes + 5];
	if (!(flags & REPAIR_UDP) || udp_bytes < 8 || at + header_bytes + udp_bytes > count)
		return;
	seal_udp(ip);
}

/* Every datagram in exactly one send, in order, no send longer than the kernel takes. */
static void check_plan(const struct datagrams *datagrams, uint32_t segment_limit)
{
	static struct segment_plan plan;
	static struct iovec vectors[PLAN_MAX_DATAGRAMS];
	const struct payload payload = { .bytes = datagrams->payload,
					 .length = datagrams->payload_bytes,
					 .segment_bytes = datagrams->segment_bytes,
					 .count = datagrams->count,
					 .next = PAYLOAD_NONE };
	const uint8_t *next = datagrams->payload;
	uint32_t count = 0;

	segment_plan_make(&plan, &payload, 0, segment_limit, vectors);
	for (uint32_t at = 0; at < plan.count; at++) {
		const struct planned_send *send = &plan.sends[at];

		HOLDS(send->vector_count == 1 && send->vectors[0].iov_base == next);
		HOLDS(send->vectors[0].iov_len == send->bytes);
		HOLDS(send->datagrams >= 1 && send->datagrams <= PLAN_SEND_SEGMENTS);
		HOLDS(send->bytes <= PLAN_SEND_BYTES);
		HOLDS(send->segment_bytes <= segment_limit);
		next += send->bytes;
		count += send->datagrams;
	}
	HOLDS(count == datagrams->count);
	HOLDS(next == datagrams->payload + datagrams->payload_bytes);
}

static void check_datagrams(const struct frame *frame, const struct datagrams *datagrams)
{
	const uint8_t *end = frame->bytes + frame->captured;
	const uint64_t covered = (uint64_t)datagrams->count * datagrams->segment_bytes;

	HOLDS(datagrams->payload >= frame->bytes + 42 && datagrams->payload <= end);
	HOLDS(datagrams->payload_bytes <= (size_t)(end - datagrams->payload));
	HOLDS(datagrams->count >= 1 && datagrams->count <= FRAME_MAX_SEGMENTS);
	HOLDS(datagrams->vlan <= 4095);
	/* All but the last are full, the last is not empty, and nothing is left over. */
	HOLDS(covered >= datagrams->payload_bytes);
	HOLDS(datagrams->count == 1
		      ? datagrams->segment_bytes == datagrams->payload_bytes
		      : covered - datagrams->segment_bytes < datagrams->payload_bytes);
}

static void check_lookup(const struct datagrams *datagrams)
{
	const uint32_t rule = table_lookup(&table, 7, datagrams->vlan, datagrams->destination_be,
					   datagrams->port_be, datagrams->source_be);

	HOLDS(rule < table.header->rule_count || rule == TABLE_UNMATCHED ||
	      rule == TABLE_SOURCE_FILTERED);
	if (rule >= table.header->rule_count)
		return;
	HOLDS(table.rules[rule].vlan == datagrams->vlan);
	HOLDS(table.rules[rule].group_be == datagrams->destination_be);
	HOLDS(table.rules[rule].port_be == datagrams->port_be);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	struct described described;
	struct frame frame = { 0 };
	struct datagrams datagrams;
	enum sluice_drop drop;
	uint8_t *bytes;
	size_t captured;

	if (size < sizeof(described))
		return -1;
	memcpy(&described, input, sizeof(described));
	captured = size - sizeof(described);
	captured -= described.padded < captured ? described.padded : captured;
	/* Exactly as long as captured: one byte further is a finding. */
	bytes = fuzz_copy(input + sizeof(described), captured);
	repair(bytes, captured, described.flags);
	frame.bytes = bytes;
	frame.captured = (uint32_t)captured;
	frame.length = (uint32_t)captured + described.cut;
	frame.vlan_tci = described.vlan_tci;
	frame.vlan_valid = described.flags & VLAN_VALID;
	frame.checksum_vouched = described.flags & CHECKSUM_VOUCHED;
	frame.gso_type = described.gso_type;
	frame.gso_bytes = described.gso_bytes;
	drop = frame_parse(&frame, &datagrams);
	HOLDS((uint32_t)drop <= FRAME_OK);
	HOLDS(drop != SLUICE_DROP_SOURCE_FILTERED && drop != SLUICE_DROP_NO_OUTPUT);
	if (drop == FRAME_OK) {
		check_datagrams(&frame, &datagrams);
		check_lookup(&datagrams);
		check_plan(&datagrams, described.segment_limit * 8u);
	}
	free(bytes);
	return 0;
}

int LLVMFuzzerInitialize(const int *argc, char ***argv)
{
	static const struct sluice_source_record sources[] = { { .prefix_bits = 8 },
							       { .prefix_bits = 32 } };
	struct sluice_source_record stated[2];
	struct sluice_rule_record rules[4];
	int fd;

	(void)argc;
	(void)argv;
	memcpy(stated, sources, sizeof(stated));
	stated[0].network_be = htonl(0x0a000000u);
	stated[1].network_be = htonl(0x0a010002u);
	for (uint32_t row = 0; row < 4; row++)
		rules[row] = (struct sluice_rule_record){ .input_ifindex = 7,
							  .group_be = htonl(0xef010101u),
							  .port_be = htons(5001),
							  .vlan = row == 3 ? 7 : 0,
							  .source_first = row == 2,
							  .source_count = row == 1 || row == 2,
							  .counter_index = 64 + 16 * row };
	fd = sluice_table_build(1, rules, 4, stated, 2, NULL, 0, NULL, 0, NULL);
	HOLDS(fd >= 0);
	HOLDS(table_map(&table, fd, 1024) == 0);
	close(fd);
	return 0;
}
