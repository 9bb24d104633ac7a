/*
 * A table that somebody else wrote: refused, or safe to use for ever. And one that
 * sluice_table_build() made of any records: it finds what a plain search finds.
 *
 * Input: struct described, then for a hostile table its bytes after the header's first
 * eight, for records the records. A table is asked for its own keys and for others.
 */
#include "../src/table.h"
#include "fuzz.h"

#include <arpa/inet.h>
#include <unistd.h>

#define COUNTERS 4096u

struct described {
	uint8_t build; /* bit 0: records for sluice_table_build() */
	uint8_t exact; /* bit 0: the image has the length that its counts ask for */
	uint8_t rules, sources;
	uint32_t group_be;
	uint32_t source_be;
};

/* All that a rule leads to. */
static void follow(const struct table *table, uint32_t row)
{
	const struct sluice_rule_record *rule = &table->rules[row];

	HOLDS(rule->counter_index + SLUICE_RULE_COUNTERS <= COUNTERS);
	for (uint32_t at = 0; at < rule->output_count; at++) {
		const struct sluice_output_record *output =
			&table->outputs[rule->output_first + at];

		HOLDS(output->counter_index + SLUICE_OUTPUT_COUNTERS <= COUNTERS);
		HOLDS(output->flags & SLUICE_OUTPUT_UNUSABLE ||
		      output->egress_slot < SLUICE_MAX_EGRESS);
	}
}

static void ask(const struct table *table, const struct table_key *key, uint32_t source_be)
{
	const uint32_t row = table_lookup(table, (uint32_t)(key->where >> 32),
					  (uint16_t)(key->what >> 16), (uint32_t)key->where,
					  (uint16_t)key->what, source_be);

	HOLDS(row == TABLE_UNMATCHED || row == TABLE_SOURCE_FILTERED ||
	      row < table->header->rule_count);
}

static void ask_all(const struct table *table, const struct described *described)
{
	const struct table_key other = { described->group_be, described->source_be, 0 };

	for (uint32_t row = 0; row < table->header->rule_count; row++)
		follow(table, row);
	ask(table, &other, described->source_be);
	for (uint32_t slot = 0; slot < table->header->key_slots; slot++)
		ask(table, &table->keys[slot], described->source_be);
	for (uint32_t slot = 0; slot < table->header->prefix_slots; slot++)
		for (uint32_t choice = 0; choice < table->header->choice_count; choice++)
			table_lookup_source(table, choice, table->prefixes[slot].network_be);
	for (uint32_t row = 0; row < table->header->interface_count; row++)
		HOLDS(table->interfaces[row].counter_index + SLUICE_INTERFACE_COUNTERS <= COUNTERS);
}

static void use_hostile(const struct described *described, const uint8_t *bytes, size_t size)
{
	struct table_header header = { .magic = TABLE_MAGIC, .abi_version = SLUICE_ABI_VERSION };
	const size_t given = size + 8 > sizeof(header) ? size + 8 : sizeof(header);
	struct table table;
	size_t length = given;
	uint8_t *image;

	memcpy((uint8_t *)&header + 8, bytes,
	       size < sizeof(header) - 8 ? size : sizeof(header) - 8);
	if (described->exact & 1)
		length = table_arrange(&table, &header, NULL);
	/* What takes longer to write than to check teaches nothing. */
	if (length < sizeof(header) || length > 65536)
		return;
	image = calloc(1, length);
	HOLDS(image);
	memcpy(image, &header, sizeof(header));
	if (size + 8 > sizeof(header))
		memcpy(image + sizeof(header), bytes + sizeof(header) - 8,
		       (length < given ? length : given) - sizeof(header));
	if (table_check(&table, image, length, COUNTERS) == 0)
		ask_all(&table, described);
	free(image);
}

/* Is this rule for that key, and how well does its source fit? -1: not at all. */
static int fitness(const struct sluice_rule_record *rule,
		   const struct sluice_source_record *sources,
		   const struct sluice_rule_record *asked, uint32_t source_be)
{
	int best = rule->source_count ? -1 : 0;

	if (rule->input_ifindex != asked->input_ifindex || rule->group_be != asked->group_be ||
	    rule->port_be != asked->port_be || rule->vlan != asked->vlan)
		return -1;
	for (uint32_t at = 0; at < rule->source_count; at++) {
		const struct sluice_source_record *source = &sources[rule->source_first + at];
		const int bits = (int)source->prefix_bits;

		if ((bits == 0 ||
		     !((ntohl(source->network_be) ^ ntohl(source_be)) >> (32 - bits))) &&
		    bits > best)
			best = bits;
	}
	return best;
}

/* Against a search through all rules; the table keeps them in their order. */
static void compare(const struct table *table, const struct sluice_rule_record *asked,
		    uint32_t source_be)
{
	uint32_t expected = TABLE_UNMATCHED;
	int best = -1;

	for (uint32_t row = 0; row < table->header->rule_count; row++) {
		const struct sluice_rule_record *rule = &table->rules[row];
		const int fits = fitness(rule, table->sources, asked, source_be);

		if (expected == TABLE_UNMATCHED && rule->input_ifindex == asked->input_ifindex &&
		    rule->group_be == asked->group_be && rule->port_be == asked->port_be &&
		    rule->vlan == asked->vlan)
			expected = TABLE_SOURCE_FILTERED;
		if (fits > best) {
			best = fits;
			expected = row;
		}
	}
	HOLDS(table_lookup(table, asked->input_ifindex, asked->vlan, asked->group_be,
			   asked->port_be, source_be) == expected);
}

static void use_built(const struct described *described, const uint8_t *bytes, size_t size)
{
	const uint32_t rule_count = described->rules % 16;
	const uint32_t source_count = described->sources % 32;
	const size_t sources_at = rule_count * sizeof(struct sluice_rule_record);
	struct sluice_rule_record rules[16];
	struct sluice_source_record sources[32];
	struct table table;
	int fd;

	if (size < sources_at + source_count * sizeof(sources[0]))
		return;
	memcpy(rules, bytes, sources_at);
	memcpy(sources, bytes + sources_at, source_count * sizeof(sources[0]));
	/* What would only be refused. */
	for (uint32_t row = 0; row < rule_count; row++) {
		rules[row].counter_index = 64 + 16 * row;
		rules[row].output_count = 0;
		rules[row].output_first = 0;
	}
	fd = sluice_table_build(1, rules, rule_count, sources, source_count, NULL, 0, NULL, 0,
				NULL);
	if (fd < 0)
		return;
	/* What was built is never refused. */
	HOLDS(table_map(&table, fd, COUNTERS) == 0);
	close(fd);
	for (uint32_t row = 0; row < rule_count; row++) {
		compare(&table, &rules[row], described->source_be);
		for (uint32_t source = 0; source < source_count; source++)
			compare(&table, &rules[row], sources[source].network_be);
	}
	table_unmap(&table);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	struct described described;

	if (size < sizeof(described))
		return -1;
	memcpy(&described, input, sizeof(described));
	if (described.build & 1)
		use_built(&described, input + sizeof(described), size - sizeof(described));
	else
		use_hostile(&described, input + sizeof(described), size - sizeof(described));
	return 0;
}
