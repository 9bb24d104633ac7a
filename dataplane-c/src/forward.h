/*
 * One batch of one shard, from its ring to the sockets and into the counters:
 *
 *   ring slot ──parse──▶ datagrams ──table──▶ rule ──batch──▶ group
 *      ▲                                                        │ iovecs into the slot
 *      └───────────── slots back ◀──── sendmmsg ◀── outputs ◀───┘
 *
 * A batch is what the shard has ready, at most BATCH_FRAMES. Its order: send on all
 * outputs of all groups, count what was received, give the slots back. The ledger knows
 * at each moment how far it came; a successor goes on there.
 */
#ifndef SLUICE_FORWARD_H
#define SLUICE_FORWARD_H

#include "batch.h"
#include "egress.h"
#include "packet_shard.h"

struct forward {
	struct journal *journal;
	const struct table *table; /* NULL: none yet */
	uint64_t *counters;
	struct egress *egress;
	struct ledger ledger;
	struct batch batch;
	/* Of this batch, counted when its slots went back. */
	uint64_t unmatched;
	uint64_t dropped[SLUICE_DROP_COUNT];
};

/* Moves what is ready of a shard that the table names. Returns how many frames. */
uint32_t forward_batch(struct forward *forward, struct packet_shard *shard);

#endif
