#include "batch.h"

static uint32_t first_slot(uint32_t rule)
{
	/* Knuth's multiplicative hash; the upper bits are the good ones. */
	return (rule * 2654435761u) >> 23;
}

_Static_assert(BATCH_GROUP_SLOTS == 1u << (32 - 23), "first_slot yields a slot");

static struct batch_group *find_group(struct batch *batch, uint32_t rule)
{
	for (uint32_t slot = first_slot(rule);; slot++) {
		uint16_t *at = &batch->group_at[slot % BATCH_GROUP_SLOTS];
		struct batch_group *group;

		if (*at && batch->groups[*at - 1].rule == rule)
			return &batch->groups[*at - 1];
		if (*at)
			continue;
		group = &batch->groups[batch->group_count++];
		*at = (uint16_t)batch->group_count;
		*group = (struct batch_group){ .rule = rule,
					       .first = PAYLOAD_NONE,
					       .last = PAYLOAD_NONE,
					       .hash_slot = slot % BATCH_GROUP_SLOTS };
		return group;
	}
}

void batch_add(struct batch *batch, uint32_t rule, const struct datagrams *datagrams)
{
	struct batch_group *group = find_group(batch, rule);
	const uint32_t index = batch->payload_count++;

	batch->payloads[index] = (struct payload){
		.bytes = datagrams->payload,
		.length = datagrams->payload_bytes,
		.segment_bytes = datagrams->segment_bytes,
		.count = datagrams->count,
		.next = PAYLOAD_NONE,
	};
	if (group->first == PAYLOAD_NONE)
		group->first = index;
	else
		batch->payloads[group->last].next = index;
	group->last = index;
	group->packets += datagrams->count;
	group->bytes += datagrams->payload_bytes;
	batch->datagrams += datagrams->count;
}

void batch_clear(struct batch *batch)
{
	for (uint32_t group = 0; group < batch->group_count; group++)
		batch->group_at[batch->groups[group].hash_slot] = 0;
	batch->payload_count = 0;
	batch->group_count = 0;
	batch->datagrams = 0;
}
