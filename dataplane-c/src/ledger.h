/*
 * Counting and sending so that a worker's death neither loses nor repeats a datagram,
 * nor a count.
 *
 * A batch is a row of steps, the same whoever takes it with the same table: each
 * datagram to each of its outputs, then each rule's counts, then the interface's. A
 * step is settled when its counters hold it. Sends are first said to have begun:
 *
 *   settled             begun
 *   ──┴──────────────────┴──────────────
 *    counted   in flight    to do
 *
 * A successor takes the same frames again. It passes over what is settled, and counts
 * what is in flight as sent without sending it: the kernel finishes a sendmmsg whose
 * caller is killed, so that these were sent, unless the kill came in the few
 * instructions between the note and the call. That is the residue, at most
 * EGRESS_CALL_DATAGRAMS. It does the rest.
 *
 * Several counters can't change at once. They are written down with their new values
 * first; if the worker dies before all are in place, sluice_shard_settle() puts them
 * there, as often as it likes.
 */
#ifndef SLUICE_LEDGER_H
#define SLUICE_LEDGER_H

#include <stdbool.h>

#include "counters.h"
#include "shard_state.h"

enum ledger_step { LEDGER_SETTLED, LEDGER_IN_FLIGHT, LEDGER_TO_DO };

struct ledger {
	struct shard_state *state; /* of the shard whose batch this is; written, never believed */
	uint64_t *counters;        /* of the worker slot */
	uint64_t settled;          /* steps */
	bool resuming;             /* a batch that a predecessor began, and came so far with */
	uint64_t begun_before, settled_before;
	uint64_t position; /* steps that were passed so far */
	uint32_t change_count;
	struct {
		uint64_t *counter;
		uint64_t value;
	} changes[LEDGER_ENTRIES];
};

/* A new batch, of the slots up to batch_end. */
static inline void ledger_open(struct ledger *ledger, struct shard_state *state, uint32_t batch_end,
			       uint64_t generation)
{
	ledger->state = state;
	ledger->settled = 0;
	ledger->resuming = false;
	state->open = 0;
	state_fence();
	state->begun = 0;
	state->settled = 0;
	state->batch_end = batch_end;
	state->generation = generation;
	state_fence();
	state->open = 1;
	state_fence();
}

/* The batch that a predecessor left so far done. */
static inline void ledger_reopen(struct ledger *ledger, struct shard_state *state, uint64_t begun,
				 uint64_t settled)
{
	ledger->state = state;
	ledger->position = 0;
	ledger->settled = settled;
	ledger->resuming = true;
	ledger->begun_before = begun;
	ledger->settled_before = settled;
}

/* What is to be done with the next `steps` steps of the batch. */
static inline enum ledger_step ledger_next(struct ledger *ledger, uint64_t steps)
{
	if (__builtin_expect(!ledger->resuming, 1))
		return LEDGER_TO_DO;
	ledger->position += steps;
	if (ledger->position <= ledger->settled_before)
		return LEDGER_SETTLED;
	return ledger->position <= ledger->begun_before ? LEDGER_IN_FLIGHT : LEDGER_TO_DO;
}

/* The next `steps` sends are about to be handed to the kernel. */
static inline void ledger_begin(struct ledger *ledger, uint64_t steps)
{
	ledger->state->begun = ledger->settled + steps;
	state_fence();
}

/* No counter twice before ledger_settle(), and no more than LEDGER_ENTRIES. */
static inline void ledger_add(struct ledger *ledger, uint64_t *counter, uint64_t amount)
{
	const uint32_t at = ledger->change_count++;

	ledger->changes[at].counter = counter;
	ledger->changes[at].value = counter_read(counter) + amount;
}

/* All that was added counts, and `steps` more steps are settled: all of it, or nothing. */
static inline void ledger_settle(struct ledger *ledger, uint64_t steps)
{
	struct shard_state *state = ledger->state;
	const uint32_t count = ledger->change_count;

	ledger->settled += steps;
	for (uint32_t at = 0; at < count; at++) {
		state->entries[at].index =
			(uint64_t)(ledger->changes[at].counter - ledger->counters);
		state->entries[at].value = ledger->changes[at].value;
	}
	state->entries_settle = ledger->settled;
	state_fence();
	state->entry_count = count;
	state_fence();
	for (uint32_t at = 0; at < count; at++)
		counter_set(ledger->changes[at].counter, ledger->changes[at].value);
	state->settled = ledger->settled;
	state_fence();
	state->entry_count = 0;
	state_fence();
	ledger->change_count = 0;
}

#endif
