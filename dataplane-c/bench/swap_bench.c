/*
 * What it costs the packet thread to take another table of 10,000 rules: to map it, to
 * check every row of it, and to give up the one before.
 */
#include "../src/table.h"
#include "bench.h"

#include <arpa/inet.h>

#define RULES 10000u

static struct sluice_rule_record rules[RULES];
static struct sluice_source_record sources[RULES];
static struct sluice_output_record outputs[RULES];
static int table_fd;

static uint64_t swap(uint32_t operations)
{
	static struct table in_force;
	uint64_t sum = 0;

	for (uint32_t at = 0; at < operations; at++) {
		struct table next;

		if (table_map(&next, table_fd, 1u << 20))
			abort();
		table_unmap(&in_force);
		in_force = next;
		sum += in_force.header->rule_count;
	}
	return sum;
}

static void build(bool with_sources)
{
	for (uint32_t row = 0; row < RULES; row++) {
		rules[row] = (struct sluice_rule_record){
			.input_ifindex = 2,
			.group_be = htonl(0xef010000u + row),
			.port_be = htons(5000),
			.source_first = with_sources ? row : 0,
			.source_count = with_sources,
			.output_first = row,
			.output_count = 1,
			.counter_index = 128 + row * 32,
		};
		sources[row] = (struct sluice_source_record){ htonl(0x0a000000u + row), 32 };
		outputs[row] = (struct sluice_output_record){
			.ifindex = 3,
			.destination_be = htonl(0xef020000u + row),
			.source_be = htonl(0x0a000001u),
			.port_be = htons(6000),
			.mtu = 1500,
			.ttl = 16,
			.counter_index = 128 + row * 32 + 16,
		};
	}
	table_fd = sluice_table_build(1, rules, RULES, sources, with_sources ? RULES : 0, outputs,
				      RULES, NULL, 0, NULL);
	if (table_fd < 0)
		abort();
}

int main(void)
{
	build(false);
	bench_some("swap, 10,000 rules, any source", swap, RULES);
	sluice_close(table_fd);
	build(true);
	bench_some("swap, 10,000 rules, one source each", swap, RULES);
	sluice_close(table_fd);
	return 0;
}
