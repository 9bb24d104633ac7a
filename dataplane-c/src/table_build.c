#include "table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The records as the supervisor gave them. */
struct request {
	const struct sluice_rule_record *rules;
	const struct sluice_source_record *sources;
	const struct sluice_output_record *outputs;
	const struct sluice_interface_record *interfaces;
	struct table_header header;
	uint32_t bad_rule;
};

static uint32_t power_of_two_above(uint32_t value)
{
	uint32_t power = 8;

	while (power < value)
		power *= 2;
	return power;
}

static bool aligned_block(uint32_t counter_index)
{
	return counter_index >= SLUICE_WORKER_COUNTERS && counter_index % 8 == 0;
}

static bool output_is_valid(const struct sluice_output_record *output)
{
	if (!aligned_block(output->counter_index))
		return false;
	/* What cannot be used now need not say how: its interface may not exist. */
	if (output->flags & SLUICE_OUTPUT_UNUSABLE)
		return true;
	return output->ifindex && output->egress_slot < SLUICE_MAX_EGRESS && output->ttl &&
	       output->port_be && output->destination_be;
}

static bool rule_is_valid(const struct request *request, const struct sluice_rule_record *rule)
{
	if (!rule->input_ifindex || rule->vlan > 4095 || !aligned_block(rule->counter_index))
		return false;
	if ((uint64_t)rule->source_first + rule->source_count > request->header.source_count ||
	    (uint64_t)rule->output_first + rule->output_count > request->header.output_count ||
	    rule->output_count > SLUICE_MAX_OUTPUTS_PER_RULE)
		return false;
	for (uint32_t row = 0; row < rule->source_count; row++) {
		const struct sluice_source_record *source =
			&request->sources[rule->source_first + row];

		if (source->prefix_bits > 32 ||
		    (source->prefix_bits < 32 &&
		     ntohl(source->network_be) & (0xffffffffu >> source->prefix_bits)))
			return false;
	}
	return true;
}

/* Each output belongs to exactly one rule: its counters are that rule's. */
static int check_ownership(struct request *request)
{
	const uint32_t output_count = request->header.output_count;
	uint8_t *owned = calloc(1, (size_t)output_count + 1);
	uint32_t total = 0;
	int error = 0;

	if (!owned)
		return -ENOMEM;
	for (uint32_t row = 0; !error && row < request->header.rule_count; row++) {
		const struct sluice_rule_record *rule = &request->rules[row];

		for (uint32_t output = 0; output < rule->output_count; output++) {
			uint8_t *mark = &owned[rule->output_first + output];

			if (*mark) {
				request->bad_rule = row;
				error = -EINVAL;
			}
			*mark = 1;
		}
		total += rule->output_count;
	}
	if (!error && total != output_count)
		error = -EINVAL;
	free(owned);
	return error;
}

static int check(struct request *request)
{
	const struct table_header *header = &request->header;
	uint64_t prefixes = 0;

	if (header->rule_count > SLUICE_MAX_RULES || header->source_count > SLUICE_MAX_SOURCES ||
	    header->output_count > SLUICE_MAX_OUTPUTS ||
	    header->interface_count > SLUICE_MAX_INTERFACES)
		return -EINVAL;
	for (uint32_t row = 0; row < header->rule_count; row++) {
		if (!rule_is_valid(request, &request->rules[row])) {
			request->bad_rule = row;
			return -EINVAL;
		}
		prefixes += request->rules[row].source_count;
	}
	/* Rules may share source records, but the index holds each once per rule. */
	if (prefixes > SLUICE_MAX_SOURCES)
		return -EINVAL;
	for (uint32_t row = 0; row < header->output_count; row++) {
		if (!output_is_valid(&request->outputs[row]))
			return -EINVAL;
	}
	for (uint32_t row = 0; row < header->interface_count; row++) {
		const struct sluice_interface_record *interface = &request->interfaces[row];

		if (!interface->ifindex || !aligned_block(interface->counter_index))
			return -EINVAL;
	}
	return check_ownership(request);
}

/* The slot of this key, or the empty one where it belongs. */
static struct table_key *find_key(const struct table *table, uint64_t where, uint32_t what)
{
	struct table_key *keys = (struct table_key *)table->keys;
	const uint32_t mask = table->header->key_slots - 1;

	for (uint32_t slot = (uint32_t)table_mix(where, what);; slot++) {
		struct table_key *key = &keys[slot & mask];

		if (key->leads == TABLE_EMPTY || (key->where == where && key->what == what))
			return key;
	}
}

static int add_prefix(const struct table *table, uint32_t choice, uint32_t rule,
		      const struct sluice_source_record *source)
{
	struct table_prefix *prefixes = (struct table_prefix *)table->prefixes;
	struct table_choice *chosen = (struct table_choice *)&table->choices[choice];
	const uint32_t mask = table->header->prefix_slots - 1;
	uint32_t slot;

	if (source->prefix_bits == 0) {
		if (chosen->any_rule != TABLE_SOURCE_FILTERED && chosen->any_rule != rule)
			return -EINVAL;
		chosen->any_rule = rule;
		return 0;
	}
	slot = (uint32_t)table_prefix_hash(choice, source->prefix_bits, source->network_be);
	for (;; slot++) {
		struct table_prefix *prefix = &prefixes[slot & mask];

		if (prefix->bits == 0) {
			*prefix = (struct table_prefix){ source->network_be, source->prefix_bits,
							 choice, rule };
			chosen->lengths |= UINT64_C(1) << source->prefix_bits;
			chosen->prefix_count++;
			chosen->only_network_be = source->network_be;
			chosen->only_rule = rule;
			return 0;
		}
		if (prefix->choice == choice && prefix->bits == source->prefix_bits &&
		    prefix->network_be == source->network_be)
			return prefix->rule == rule ? 0 : -EINVAL;
	}
}

static uint32_t add_choice(const struct table *table)
{
	struct table_header *header = (struct table_header *)table->header;
	struct table_choice *choice = (struct table_choice *)&table->choices[header->choice_count];

	choice->any_rule = TABLE_SOURCE_FILTERED;
	return header->choice_count++;
}

static int index_rule(const struct table *table, uint32_t row)
{
	static const struct sluice_source_record any = { 0, SLUICE_ANY_PREFIX_BITS };
	const struct sluice_rule_record *rule = &table->rules[row];
	uint64_t where = table_where(rule->input_ifindex, rule->group_be);
	uint32_t what = table_what(rule->vlan, rule->port_be);
	struct table_key *key = find_key(table, where, what);
	uint32_t choice;
	int error;

	if (rule->source_count == 0 && key->leads == TABLE_EMPTY) {
		*key = (struct table_key){ where, what, row };
		return 0;
	}
	if (rule->source_count == 0 && !(key->leads & TABLE_CHOICE))
		return -EINVAL; /* two rules for every source of one key */
	if (key->leads == TABLE_EMPTY) {
		*key = (struct table_key){ where, what, TABLE_CHOICE | add_choice(table) };
	} else if (!(key->leads & TABLE_CHOICE)) {
		uint32_t any_rule = key->leads;

		key->leads = TABLE_CHOICE | add_choice(table);
		((struct table_choice *)&table->choices[key->leads & ~TABLE_CHOICE])->any_rule =
			any_rule;
	}
	choice = key->leads & ~TABLE_CHOICE;
	error = rule->source_count == 0 ? add_prefix(table, choice, row, &any) : 0;
	for (uint32_t source = 0; !error && source < rule->source_count; source++)
		error = add_prefix(table, choice, row,
				   &table->sources[rule->source_first + source]);
	return error;
}

static int by_egress(const void *left, const void *right)
{
	const struct sluice_output_record *a = left;
	const struct sluice_output_record *b = right;

	if (a->egress_slot != b->egress_slot)
		return a->egress_slot < b->egress_slot ? -1 : 1;
	return a->key < b->key ? -1 : a->key > b->key;
}

static int fill(struct request *request, void *memory)
{
	struct table table = { .memory = memory, .header = memory };
	struct table_header *header = memory;

	*header = request->header;
	if (!table_arrange(&table, header, memory))
		return -EINVAL;
	/* As many choices as there is room for; here it counts those in use. */
	header->choice_count = 0;
	for (uint32_t slot = 0; slot < header->key_slots; slot++)
		((struct table_key *)table.keys)[slot].leads = TABLE_EMPTY;
#define COPY(part, count) memcpy((void *)table.part, request->part, (count) * sizeof(*table.part))
	if (header->rule_count)
		COPY(rules, header->rule_count);
	if (header->source_count)
		COPY(sources, header->source_count);
	if (header->output_count)
		COPY(outputs, header->output_count);
	if (header->interface_count)
		COPY(interfaces, header->interface_count);
#undef COPY
	for (uint32_t row = 0; row < header->rule_count; row++) {
		const struct sluice_rule_record *rule = &table.rules[row];
		int error = index_rule(&table, row);

		if (error) {
			request->bad_rule = row;
			return error;
		}
		/* Outputs of one socket side by side: one system call sends to all of them. */
		qsort((void *)&table.outputs[rule->output_first], rule->output_count,
		      sizeof(*table.outputs), by_egress);
	}
	header->choice_count = request->header.choice_count;
	return 0;
}

/* Room for the indices: at most half full. */
static void plan_index(struct request *request)
{
	struct table_header *header = &request->header;
	uint32_t prefixes = 0;
	uint32_t choices = 0;

	for (uint32_t row = 0; row < header->rule_count; row++) {
		choices += request->rules[row].source_count > 0;
		prefixes += request->rules[row].source_count;
	}
	header->magic = TABLE_MAGIC;
	header->abi_version = SLUICE_ABI_VERSION;
	header->key_slots = power_of_two_above(2 * header->rule_count);
	header->prefix_slots = power_of_two_above(2 * prefixes);
	header->choice_count = choices;
}

static int build(struct request *request)
{
	const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	struct table measured;
	size_t bytes = table_arrange(&measured, &request->header, NULL);
	int fd = memfd_create("sluice-table", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *memory;
	int error;

	if (fd < 0)
		return -errno;
	error = bytes ? 0 : -EINVAL;
	if (!error && ftruncate(fd, (off_t)bytes))
		error = -errno;
	if (!error) {
		memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (memory == MAP_FAILED) {
			error = -errno;
		} else {
			error = fill(request, memory);
			/* The seal against writing needs all writable mappings gone. */
			munmap(memory, bytes);
		}
	}
	if (!error && fcntl(fd, F_ADD_SEALS, seals))
		error = -errno;
	if (!error)
		return fd;
	close(fd);
	return error;
}

int sluice_table_build(uint64_t generation, const struct sluice_rule_record *rules,
		       uint32_t rule_count, const struct sluice_source_record *sources,
		       uint32_t source_count, const struct sluice_output_record *outputs,
		       uint32_t output_count, const struct sluice_interface_record *interfaces,
		       uint32_t interface_count, uint32_t *bad_rule)
{
	struct request request = {
		.rules = rules,
		.sources = sources,
		.outputs = outputs,
		.interfaces = interfaces,
		.header = { .generation = generation,
			    .rule_count = rule_count,
			    .source_count = source_count,
			    .output_count = output_count,
			    .interface_count = interface_count },
		.bad_rule = UINT32_MAX,
	};
	int result;

	if ((rule_count && !rules) || (source_count && !sources) || (output_count && !outputs) ||
	    (interface_count && !interfaces))
		return -EINVAL;
	result = check(&request);
	if (!result) {
		plan_index(&request);
		result = build(&request);
	}
	if (bad_rule)
		*bad_rule = request.bad_rule;
	return result;
}
