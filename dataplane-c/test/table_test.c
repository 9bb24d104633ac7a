/* The flow table: keys, prefixes, limits, and what a worker refuses to map. */
#include "../src/table.h"
#include "expect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MANY        10000u
#define COUNTERS    4000000u
#define GROUP_1     0xef010101u /* 239.1.1.1 */
#define ANY_SOURCE  0x0a000001u
#define NO_BAD_RULE UINT32_MAX

static struct sluice_rule_record rules[MANY + 1];
static struct sluice_source_record sources[MANY + 1];
static struct sluice_output_record outputs[MANY + 1];
static const struct sluice_interface_record interface = { .name = "in0",
							  .ifindex = 2,
							  .counter_index = 64 };

static struct sluice_rule_record rule_of(uint32_t group, uint16_t port, uint16_t vlan)
{
	return (struct sluice_rule_record){
		.input_ifindex = 2,
		.group_be = htonl(group),
		.port_be = htons(port),
		.vlan = vlan,
		.counter_index = 128,
	};
}

static struct sluice_output_record output_of(uint64_t key, uint32_t slot)
{
	return (struct sluice_output_record){
		.key = key,
		.ifindex = 3,
		.egress_slot = slot,
		.destination_be = htonl(GROUP_1),
		.port_be = htons(1),
		.ttl = 1,
		.mtu = 1500,
		.counter_index = 256,
	};
}

static int build(uint32_t rule_count, uint32_t source_count, uint32_t output_count,
		 uint32_t *bad_rule)
{
	return sluice_table_build(7, rules, rule_count, sources, source_count, outputs,
				  output_count, &interface, 1, bad_rule);
}

/* Builds and maps; the descriptor is closed. */
static struct table table_of(uint32_t rule_count, uint32_t source_count, uint32_t output_count)
{
	struct table table = { 0 };
	int fd = build(rule_count, source_count, output_count, NULL);

	EXPECT(fd >= 0);
	EXPECT_EQUAL(table_map(&table, fd, COUNTERS), 0);
	sluice_close(fd);
	return table;
}

static uint32_t look(const struct table *table, uint32_t group, uint16_t port, uint16_t vlan,
		     uint32_t source)
{
	return table_lookup(table, 2, vlan, htonl(group), htons(port), htonl(source));
}

static void every_part_of_the_key_counts(void)
{
	struct table table;

	rules[0] = rule_of(GROUP_1, 5000, 0);
	rules[1] = rule_of(GROUP_1, 5000, 7);
	rules[2] = rule_of(GROUP_1, 5001, 0);
	rules[3] = rule_of(GROUP_1 + 1, 5000, 0);
	table = table_of(4, 0, 0);
	EXPECT_EQUAL(look(&table, GROUP_1, 5000, 0, ANY_SOURCE), 0);
	EXPECT_EQUAL(look(&table, GROUP_1, 5000, 7, ANY_SOURCE), 1);
	EXPECT_EQUAL(look(&table, GROUP_1, 5001, 0, ANY_SOURCE), 2);
	EXPECT_EQUAL(look(&table, GROUP_1 + 1, 5000, 0, ANY_SOURCE), 3);
	EXPECT_EQUAL(look(&table, GROUP_1, 5000, 8, ANY_SOURCE), TABLE_UNMATCHED);
	EXPECT_EQUAL(look(&table, GROUP_1, 5002, 0, ANY_SOURCE), TABLE_UNMATCHED);
	EXPECT_EQUAL(table_lookup(&table, 3, 0, htonl(GROUP_1), htons(5000), 0), TABLE_UNMATCHED);
	EXPECT_EQUAL(table.header->generation, 7);
	table_unmap(&table);
}

static void an_empty_table_matches_nothing(void)
{
	struct table table = table_of(0, 0, 0);

	EXPECT_EQUAL(look(&table, GROUP_1, 5000, 0, ANY_SOURCE), TABLE_UNMATCHED);
	table_unmap(&table);
}

static void the_longest_prefix_wins(void)
{
	struct table table;

	sources[0] = (struct sluice_source_record){ htonl(0x0a000000u), 8 };
	sources[1] = (struct sluice_source_record){ htonl(0x0a010000u), 16 };
	sources[2] = (struct sluice_source_record){ htonl(0x0a010203u), 32 };
	sources[3] = (struct sluice_source_record){ htonl(0x80000000u), 1 };
	for (uint32_t row = 0; row < 4; row++) {
		rules[row] = rule_of(GROUP_1, 5000, 0);
		rules[row].source_first = row;
		rules[row].source_count = 1;
	}
	table = table_of(4, 4, 0);
	EXPECT_EQUAL(look(&table, GROUP_1, 5000, 0, 0x0a020304u), 0);
	EXPECT_EQUAL(look(&table, GROUP_1, 5000, 0, 0x0a010304u), 1);
	EXPECT_EQUAL(look(&table, GROUP_1, 5000, 0, 0x0a010203u), 2);
	EXPECT_EQUAL(look(&table, GROUP_1, 5000, 0, 0xc0a80001u), 3);
	EXPECT_EQUAL(look(&table, GROUP_1, 5000, 0, 0x0b000001u), TABLE_SOURCE_FILTERED);
	table_unmap(&table);
}

static void a_rule_for_every_source_takes_what_no_prefix_takes(void)
{
	for (uint32_t any = 0; any < 2; any++) {
		struct table table;

		/* In either order of the records. */
		rules[any] = rule_of(GROUP_1, 5000, 0);
		rules[1 - any] = rule_of(GROUP_1, 5000, 0);
		rules[1 - any].source_count = 1;
		sources[0] = (struct sluice_source_record){ htonl(0x0a000000u), 8 };
		table = table_of(2, 1, 0);
		EXPECT_EQUAL(look(&table, GROUP_1, 5000, 0, 0x0a020304u), 1 - any);
		EXPECT_EQUAL(look(&table, GROUP_1, 5000, 0, 0x0b000001u), any);
		table_unmap(&table);
	}
}

static void one_key_holds_thousands_of_sources(void)
{
	struct table table;

	rules[0] = rule_of(GROUP_1, 5000, 0);
	rules[0].source_count = MANY;
	for (uint32_t row = 0; row < MANY; row++)
		sources[row] = (struct sluice_source_record){ htonl(0x0a000000u + 2 * row), 32 };
	table = table_of(1, MANY, 0);
	for (uint32_t row = 0; row < MANY; row++) {
		EXPECT_EQUAL(look(&table, GROUP_1, 5000, 0, 0x0a000000u + 2 * row), 0);
		EXPECT_EQUAL(look(&table, GROUP_1, 5000, 0, 0x0a000001u + 2 * row),
			     TABLE_SOURCE_FILTERED);
	}
	table_unmap(&table);
}

static void ten_thousand_rules_are_each_found(void)
{
	struct table table;

	for (uint32_t row = 0; row < MANY; row++)
		rules[row] = rule_of(GROUP_1 + row / 10, (uint16_t)(5000 + row % 10), 0);
	table = table_of(MANY, 0, 0);
	for (uint32_t row = 0; row < MANY; row++)
		EXPECT_EQUAL(look(&table, GROUP_1 + row / 10, (uint16_t)(5000 + row % 10), 0,
				  ANY_SOURCE),
			     row);
	EXPECT_EQUAL(look(&table, GROUP_1 + MANY / 10, 5000, 0, ANY_SOURCE), TABLE_UNMATCHED);
	table_unmap(&table);
}

/* Keys that all want one slot: the hash is then a list, and still right. */
static void colliding_keys_are_each_found(void)
{
	const uint32_t mask = 127; /* of 64 rules */
	uint32_t row = 0;
	struct table table;

	for (uint32_t group = GROUP_1; row < 64; group++) {
		if ((table_mix(table_where(2, htonl(group)), table_what(0, htons(5000))) & mask) ==
		    126)
			rules[row++] = rule_of(group, 5000, 0);
	}
	table = table_of(64, 0, 0);
	EXPECT_EQUAL(table.header->key_slots - 1, mask);
	for (row = 0; row < 64; row++)
		EXPECT_EQUAL(look(&table, ntohl(rules[row].group_be), 5000, 0, ANY_SOURCE), row);
	EXPECT_EQUAL(look(&table, GROUP_1 - 1, 5000, 0, ANY_SOURCE), TABLE_UNMATCHED);
	table_unmap(&table);
}

static void two_rules_with_one_key_are_refused(void)
{
	uint32_t bad_rule = NO_BAD_RULE;

	rules[0] = rule_of(GROUP_1, 5000, 0);
	rules[1] = rule_of(GROUP_1 + 1, 5000, 0);
	rules[2] = rule_of(GROUP_1, 5000, 0);
	EXPECT_EQUAL(build(3, 0, 0, &bad_rule), -EINVAL);
	EXPECT_EQUAL(bad_rule, 2);

	/* With one prefix likewise, whatever the length. */
	for (uint32_t bits = 0; bits <= 32; bits += 16) {
		sources[0] = (struct sluice_source_record){ bits ? htonl(0x0a010000u) : 0, bits };
		for (uint32_t row = 0; row < 3; row++)
			rules[row].source_count = row != 1;
		bad_rule = NO_BAD_RULE;
		EXPECT_EQUAL(build(3, 1, 0, &bad_rule), -EINVAL);
		EXPECT_EQUAL(bad_rule, 2);
	}
}

static void bad_records_are_refused_by_row(void)
{
	struct sluice_rule_record bad[6];

	sources[0] = (struct sluice_source_record){ htonl(0x0a000001u), 8 };
	sources[1] = (struct sluice_source_record){ htonl(0x0a000001u), 33 };
	outputs[0] = output_of(1, 0);
	for (uint32_t kind = 0; kind < 6; kind++)
		bad[kind] = rule_of(GROUP_1 + 1, 5000, 0);
	bad[0].source_count = 1;
	bad[1].source_first = 1;
	bad[1].source_count = 1;
	bad[2].source_first = UINT32_MAX;
	bad[2].source_count = 2;
	bad[3].output_first = 1;
	bad[3].output_count = 1;
	bad[4].counter_index = 129;
	bad[5].input_ifindex = 0;
	for (uint32_t kind = 0; kind < 6; kind++) {
		uint32_t bad_rule = NO_BAD_RULE;

		rules[0] = rule_of(GROUP_1, 5000, 0);
		rules[0].output_count = 1;
		rules[1] = bad[kind];
		EXPECT_EQUAL(build(2, 2, 1, &bad_rule), -EINVAL);
		EXPECT_EQUAL(bad_rule, 1);
	}
}

static void an_output_belongs_to_exactly_one_rule(void)
{
	uint32_t bad_rule = NO_BAD_RULE;

	outputs[0] = output_of(1, 0);
	outputs[1] = output_of(2, 0);
	rules[0] = rule_of(GROUP_1, 5000, 0);
	rules[0].output_count = 1;
	EXPECT_EQUAL(build(1, 0, 2, &bad_rule), -EINVAL);
	EXPECT_EQUAL(bad_rule, NO_BAD_RULE);
	rules[0].output_count = 2;
	rules[1] = rule_of(GROUP_1, 5001, 0);
	rules[1].output_first = 1;
	rules[1].output_count = 1;
	EXPECT_EQUAL(build(2, 0, 2, &bad_rule), -EINVAL);
	EXPECT_EQUAL(bad_rule, 1);
}

static void an_output_that_cannot_be_used_needs_no_socket(void)
{
	struct table table;

	outputs[0] = (struct sluice_output_record){ .egress_slot = UINT32_MAX,
						    .counter_index = 256,
						    .flags = SLUICE_OUTPUT_UNUSABLE };
	rules[0] = rule_of(GROUP_1, 5000, 0);
	rules[0].output_count = 1;
	table = table_of(1, 0, 1);
	EXPECT_EQUAL(table.outputs[0].flags, SLUICE_OUTPUT_UNUSABLE);
	table_unmap(&table);
	outputs[0].flags = 0;
	EXPECT_EQUAL(build(1, 0, 1, NULL), -EINVAL);
}

static void outputs_of_one_socket_lie_side_by_side(void)
{
	struct table table;

	for (uint32_t row = 0; row < 8; row++)
		outputs[row] = output_of(row, row % 2);
	rules[0] = rule_of(GROUP_1, 5000, 0);
	rules[0].output_count = 8;
	table = table_of(1, 0, 8);
	for (uint32_t row = 0; row < 8; row++)
		EXPECT_EQUAL(table.outputs[row].egress_slot, row / 4);
	table_unmap(&table);
}

/* An unsealed or altered copy of a good table. */
static int copy_of(int good, size_t at, uint32_t value, int seals)
{
	static uint8_t bytes[65536];
	ssize_t length = pread(good, bytes, sizeof(bytes), 0);
	int fd = memfd_create("copy", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	EXPECT(length > 0 && length < (ssize_t)sizeof(bytes));
	if (at)
		memcpy(bytes + at, &value, sizeof(value));
	EXPECT_EQUAL(write(fd, bytes, (size_t)length), length);
	EXPECT_EQUAL(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void a_worker_maps_only_what_is_sealed_and_whole(void)
{
	const int sealed = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
	const size_t keys = sizeof(struct table_header);
	struct {
		size_t at;
		uint32_t value;
		int seals;
		int expected;
	} cases[] = {
		{ 0, 0, sealed, 0 },
		{ 0, 0, F_SEAL_SHRINK, -EPERM },
		{ 0, 0, F_SEAL_WRITE, -EPERM },
		{ offsetof(struct table_header, abi_version), 99, sealed, -EINVAL },
		{ offsetof(struct table_header, key_slots), 16, sealed, -EINVAL },
		{ offsetof(struct table_header, key_slots), 7, sealed, -EINVAL },
		{ offsetof(struct table_header, rule_count), 0x7fffffff, sealed, -EINVAL },
		{ keys + offsetof(struct table_key, leads), 5, sealed, -EINVAL },
		{ keys + offsetof(struct table_key, leads), TABLE_CHOICE | 5, sealed, -EINVAL },
	};
	struct table table;
	int good;

	rules[0] = rule_of(GROUP_1, 5000, 0);
	rules[0].output_count = 1;
	outputs[0] = output_of(1, 0);
	good = build(1, 0, 1, NULL);
	for (size_t at = 0; at < sizeof(cases) / sizeof(cases[0]); at++) {
		int fd = copy_of(good, cases[at].at, cases[at].value, cases[at].seals);
		int result = table_map(&table, fd, COUNTERS);

		EXPECT_EQUAL(result, cases[at].expected);
		if (!result)
			table_unmap(&table);
		sluice_close(fd);
	}
	/* Counters beyond the memory there is. */
	EXPECT_EQUAL(table_map(&table, good, 200), -ERANGE);
	EXPECT_EQUAL(table_map(&table, good, 256 + SLUICE_OUTPUT_COUNTERS), 0);
	table_unmap(&table);
	sluice_close(good);
}

int main(void)
{
	every_part_of_the_key_counts();
	an_empty_table_matches_nothing();
	the_longest_prefix_wins();
	a_rule_for_every_source_takes_what_no_prefix_takes();
	one_key_holds_thousands_of_sources();
	ten_thousand_rules_are_each_found();
	colliding_keys_are_each_found();
	two_rules_with_one_key_are_refused();
	bad_records_are_refused_by_row();
	an_output_belongs_to_exactly_one_rule();
	an_output_that_cannot_be_used_needs_no_socket();
	outputs_of_one_socket_lie_side_by_side();
	a_worker_maps_only_what_is_sealed_and_whole();
	return failures ? 1 : 0;
}
