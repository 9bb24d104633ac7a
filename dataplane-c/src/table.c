#include "table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "mapping.h"

uint32_t table_lookup_source(const struct table *table, uint32_t choice, uint32_t source_be)
{
	const struct table_choice *asked = &table->choices[choice];
	const uint32_t mask = table->header->prefix_slots - 1;
	const uint32_t source = ntohl(source_be);

	if (asked->prefix_count == 1) {
		const uint32_t length = 63u - (uint32_t)__builtin_clzll(asked->lengths);

		return htonl(source & table_mask(length)) == asked->only_network_be
			       ? asked->only_rule
			       : asked->any_rule;
	}
	for (uint64_t lengths = asked->lengths; lengths;) {
		uint32_t bits = 63u - (uint32_t)__builtin_clzll(lengths);
		uint32_t network_be = htonl(source & table_mask(bits));
		uint32_t slot = (uint32_t)table_prefix_hash(choice, bits, network_be);

		for (;; slot++) {
			const struct table_prefix *prefix = &table->prefixes[slot & mask];

			if (prefix->bits == 0)
				break;
			if (prefix->network_be == network_be && prefix->bits == bits &&
			    prefix->choice == choice)
				return prefix->rule;
		}
		lengths &= ~(UINT64_C(1) << bits);
	}
	return asked->any_rule;
}

static bool is_power_of_two(uint32_t value)
{
	return value && !(value & (value - 1));
}

static bool counts_in_range(const struct table_header *header)
{
	return is_power_of_two(header->key_slots) && header->key_slots <= 4 * SLUICE_MAX_RULES &&
	       header->choice_count <= SLUICE_MAX_RULES && is_power_of_two(header->prefix_slots) &&
	       header->prefix_slots <= 4 * SLUICE_MAX_SOURCES &&
	       header->rule_count <= SLUICE_MAX_RULES &&
	       header->source_count <= SLUICE_MAX_SOURCES &&
	       header->output_count <= SLUICE_MAX_OUTPUTS &&
	       header->interface_count <= SLUICE_MAX_INTERFACES;
}

/* Every element is a multiple of 8 bytes long, so every part is aligned for its u64s. */
size_t table_arrange(struct table *table, const struct table_header *header, void *memory)
{
	uint8_t *start = memory;
	size_t at = sizeof(struct table_header);

	if (!counts_in_range(header))
		return 0;
#define PLACE(member, count)                                       \
	table->member = (const void *)(start ? start + at : NULL); \
	at += (size_t)(count) * sizeof(*table->member)
	PLACE(keys, header->key_slots);
	PLACE(choices, header->choice_count);
	PLACE(prefixes, header->prefix_slots);
	PLACE(rules, header->rule_count);
	PLACE(sources, header->source_count);
	PLACE(outputs, header->output_count);
	PLACE(interfaces, header->interface_count);
#undef PLACE
	return at;
}

static bool block_fits(uint32_t index, uint32_t counters, uint64_t counter_count)
{
	/* Block 0 is the worker's own. */
	return index >= SLUICE_WORKER_COUNTERS && (uint64_t)index + counters <= counter_count;
}

static bool range_fits(uint32_t first, uint32_t count, uint32_t limit)
{
	return (uint64_t)first + count <= limit;
}

static int validate_records(const struct table *table, uint64_t counter_count)
{
	const struct table_header *header = table->header;

	for (uint32_t row = 0; row < header->rule_count; row++) {
		const struct sluice_rule_record *rule = &table->rules[row];

		if (!range_fits(rule->output_first, rule->output_count, header->output_count))
			return -EINVAL;
		if (!block_fits(rule->counter_index, SLUICE_RULE_COUNTERS, counter_count))
			return -ERANGE;
	}
	for (uint32_t row = 0; row < header->output_count; row++) {
		const struct sluice_output_record *output = &table->outputs[row];

		if (!(output->flags & SLUICE_OUTPUT_UNUSABLE) &&
		    output->egress_slot >= SLUICE_MAX_EGRESS)
			return -EINVAL;
		if (!block_fits(output->counter_index, SLUICE_OUTPUT_COUNTERS, counter_count))
			return -ERANGE;
	}
	for (uint32_t row = 0; row < header->interface_count; row++) {
		if (!block_fits(table->interfaces[row].counter_index, SLUICE_INTERFACE_COUNTERS,
				counter_count))
			return -ERANGE;
	}
	return 0;
}

/* An empty slot must exist in each hash, or a probe for what is not there never ends. */
static int validate_index(const struct table *table)
{
	const struct table_header *header = table->header;
	uint32_t empty = 0;

	for (uint32_t slot = 0; slot < header->key_slots; slot++) {
		uint32_t leads = table->keys[slot].leads;

		if (leads == TABLE_EMPTY)
			empty++;
		else if (leads & TABLE_CHOICE ? (leads & ~TABLE_CHOICE) >= header->choice_count
					      : leads >= header->rule_count)
			return -EINVAL;
	}
	if (!empty)
		return -EINVAL;
	empty = 0;
	for (uint32_t slot = 0; slot < header->prefix_slots; slot++) {
		const struct table_prefix *prefix = &table->prefixes[slot];

		if (prefix->bits == 0)
			empty++;
		else if (prefix->rule >= header->rule_count)
			return -EINVAL;
	}
	if (!empty)
		return -EINVAL;
	for (uint32_t row = 0; row < header->choice_count; row++) {
		const struct table_choice *choice = &table->choices[row];

		/* Bits 1 … 32 alone: table_mask() is undefined for others. */
		if (choice->lengths & ~UINT64_C(0x1fffffffe) ||
		    (choice->any_rule != TABLE_SOURCE_FILTERED &&
		     choice->any_rule >= header->rule_count))
			return -EINVAL;
		if (choice->prefix_count == 1 &&
		    (!choice->lengths || choice->only_rule >= header->rule_count))
			return -EINVAL;
	}
	return 0;
}

int table_check(struct table *table, void *memory, size_t bytes, uint64_t counter_count)
{
	int error;

	memset(table, 0, sizeof(*table));
	if (bytes < sizeof(struct table_header))
		return -EINVAL;
	table->memory = memory;
	table->bytes = bytes;
	table->header = memory;
	if (table->header->magic != TABLE_MAGIC ||
	    table->header->abi_version != SLUICE_ABI_VERSION ||
	    table_arrange(table, table->header, memory) != bytes)
		return -EINVAL;
	error = validate_index(table);
	return error ? error : validate_records(table, counter_count);
}

int table_map(struct table *table, int fd, uint64_t counter_count)
{
	void *memory;
	size_t bytes;
	int error;

	memset(table, 0, sizeof(*table));
	error = mapping_open(fd, MAPPING_CONSTANT, sizeof(struct table_header), &memory, &bytes);
	if (error)
		return error;
	error = table_check(table, memory, bytes, counter_count);
	if (error) {
		mapping_close(memory, bytes);
		memset(table, 0, sizeof(*table));
	}
	return error;
}

void table_unmap(struct table *table)
{
	mapping_close(table->memory, table->bytes);
	memset(table, 0, sizeof(*table));
}
