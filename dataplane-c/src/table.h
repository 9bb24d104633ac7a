/*
 * The flow table: which rule a datagram belongs to, and what that rule sends.
 *
 * One sealed memfd holds the supervisor's records as they are and two indices:
 *
 *   header
 *   keys      open-addressed hash over (ifindex, vlan, group, port), 16 bytes each,
 *             at most half full: 10,000 rules are 512 KiB, which a core's cache holds
 *   choices   one per key whose rules name sources: which prefix lengths occur, and
 *             the prefix itself where there is only one
 *   prefixes  open-addressed hash over (choice, prefix length, network)
 *   rules, sources, outputs, interfaces
 *
 * A key without sources leads straight to its rule, one with a single source after a
 * comparison. One with more is asked once per prefix length that occurs, longest first,
 * so the cost does not grow with the number of sources.
 *
 * The worker validates the whole mapping once (table_map); being sealed, it cannot
 * change afterwards, so the hot path checks nothing again.
 */
#ifndef SLUICE_TABLE_H
#define SLUICE_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "sluice.h"

/* Answers of table_lookup beside a rule's row. */
#define TABLE_UNMATCHED       0xffffffffu
#define TABLE_SOURCE_FILTERED 0xfffffffeu

#define TABLE_MAGIC 0x4c425453u

struct table_header {
	uint32_t magic;
	uint32_t abi_version;
	uint64_t generation;
	uint32_t key_slots; /* power of two */
	uint32_t choice_count;
	uint32_t prefix_slots; /* power of two */
	uint32_t rule_count;
	uint32_t source_count;
	uint32_t output_count;
	uint32_t interface_count;
	uint32_t reserved[5];
}; /* 64 bytes */

/* Lookups compare where and what as whole words. */
struct table_key {
	uint64_t where; /* input ifindex << 32 | group, both as stored in the rule */
	uint32_t what;  /* vlan << 16 | port_be */
	uint32_t leads; /* to a rule's row, or TABLE_CHOICE | row of the choice, or TABLE_EMPTY */
};                      /* 16 bytes */

#define TABLE_CHOICE 0x80000000u
#define TABLE_EMPTY  0xffffffffu

struct table_choice {
	uint64_t lengths;  /* bit n: a prefix of n bits occurs (1 … 32) */
	uint32_t any_rule; /* the rule for every other source, or TABLE_SOURCE_FILTERED */
	uint32_t prefix_count;
	uint32_t only_network_be; /* of a single prefix, and its rule: not looked up in prefixes */
	uint32_t only_rule;
}; /* 24 bytes */

struct table_prefix {
	uint32_t network_be;
	uint32_t bits; /* 0: empty */
	uint32_t choice;
	uint32_t rule;
}; /* 16 bytes */

struct table {
	void *memory;
	size_t bytes;
	const struct table_header *header;
	const struct table_key *keys;
	const struct table_choice *choices;
	const struct table_prefix *prefixes;
	const struct sluice_rule_record *rules;
	const struct sluice_source_record *sources;
	const struct sluice_output_record *outputs;
	const struct sluice_interface_record *interfaces;
};

/*
 * Where each part of a table with these counts begins. Fills everything of `table`
 * but memory and header, relative to `memory`. Returns the bytes of the whole, 0 when
 * a count is out of range.
 */
size_t table_arrange(struct table *table, const struct table_header *header, void *memory);

/*
 * Validates `bytes` of memory, aligned for u64, that nobody writes any more, and makes
 * `table` of them; the memory stays the caller's. On failure `table` is of no use.
 * 0, -EINVAL, -ERANGE as table_map() says.
 */
int table_check(struct table *table, void *memory, size_t bytes, uint64_t counter_count);

/*
 * Maps and validates. Every index in it is in range afterwards, every counter block
 * lies below `counter_count`, every probe ends. Takes no ownership of fd.
 * 0, -EINVAL (not such a table), -EPERM (not sealed), -ERANGE (a counter block lies
 * outside), or what mmap says.
 */
int table_map(struct table *table, int fd, uint64_t counter_count);
void table_unmap(struct table *table);

/* Spreads the key's bits: a multiply folds high and low halves (both constants are odd primes' digits). */
static inline uint64_t table_mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product =
		(unsigned __int128)(a ^ 0x9e3779b97f4a7c15u) * (b ^ 0xd6e8feb86659fd93u);

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t table_where(uint32_t ifindex, uint32_t group_be)
{
	return (uint64_t)ifindex << 32 | group_be;
}

static inline uint32_t table_what(uint16_t vlan, uint16_t port_be)
{
	return (uint32_t)vlan << 16 | port_be;
}

static inline uint64_t table_prefix_hash(uint32_t choice, uint32_t bits, uint32_t network_be)
{
	return table_mix((uint64_t)choice << 32 | bits, network_be);
}

/* Network mask of 1 … 32 bits, in host order. */
static inline uint32_t table_mask(uint32_t bits)
{
	return 0xffffffffu << (32u - bits);
}

uint32_t table_lookup_source(const struct table *table, uint32_t choice, uint32_t source_be);

/* The rule's row, TABLE_UNMATCHED or TABLE_SOURCE_FILTERED. */
static inline uint32_t table_lookup(const struct table *table, uint32_t ifindex, uint16_t vlan,
				    uint32_t group_be, uint16_t port_be, uint32_t source_be)
{
	const uint64_t where = table_where(ifindex, group_be);
	const uint32_t what = table_what(vlan, port_be);
	const uint32_t mask = table->header->key_slots - 1;

	for (uint32_t slot = (uint32_t)table_mix(where, what);; slot++) {
		const struct table_key *key = &table->keys[slot & mask];

		if (key->leads == TABLE_EMPTY)
			return TABLE_UNMATCHED;
		if (key->where != where || key->what != what)
			continue;
		if (__builtin_expect(!(key->leads & TABLE_CHOICE), 1))
			return key->leads;
		return table_lookup_source(table, key->leads & ~TABLE_CHOICE, source_be);
	}
}

#endif
