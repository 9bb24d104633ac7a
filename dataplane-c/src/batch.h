/*
 * What one batch of frames holds, grouped by rule: streams interleave on the wire,
 * but only datagrams of one rule can leave together. Within a rule they stay in the
 * order they came. Bounded and allocated once.
 */
#ifndef SLUICE_BATCH_H
#define SLUICE_BATCH_H

#include "frame.h"
#include "segment_plan.h"

#define BATCH_FRAMES      256u
#define BATCH_GROUP_SLOTS (2u * BATCH_FRAMES) /* of a hash at most half full */

struct batch_group {
	uint32_t rule;
	uint32_t first, last; /* payloads */
	uint32_t hash_slot;
	uint64_t packets;
	uint64_t bytes;
};

struct batch {
	uint32_t payload_count;
	uint32_t group_count;
	uint32_t datagrams;
	struct payload payloads[BATCH_FRAMES];
	struct batch_group groups[BATCH_FRAMES];
	uint16_t group_at[BATCH_GROUP_SLOTS]; /* by hash of the rule; 1 + group, 0: empty */
};

static inline bool batch_is_full(const struct batch *batch)
{
	return batch->payload_count == BATCH_FRAMES || batch->datagrams >= PLAN_BATCH_DATAGRAMS;
}

/* The batch is not full. */
void batch_add(struct batch *batch, uint32_t rule, const struct datagrams *datagrams);
void batch_clear(struct batch *batch);

#endif
