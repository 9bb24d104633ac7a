/*
 * What a shard's next owner must know, in a memfd that outlives the worker: where in
 * the ring to go on, and how far the batch came that was being sent. One writer, the
 * packet thread that drives the shard.
 *
 *   open                 the batch is the slots [cursor, batch_end)
 *   begun, settled …     send by send, see ledger.h
 *   sent = batch_end     all of it is sent and counted
 *   slots back, cursor   and nothing is left of it
 *
 * A worker can be killed between any two instructions. What it has executed counts,
 * in the order of the program, so that only the compiler must be kept from moving
 * these stores (signal fences); its death is what tells another processor of them.
 *
 * Nothing in here is believed by who comes next: a worker in an attacker's hands
 * could have written it.
 */
#ifndef SLUICE_SHARD_STATE_H
#define SLUICE_SHARD_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "sluice.h"

/*
 * Super-packets longer than a slot in one batch. Their copies are read from the socket's
 * queue into this memory, lest they die with the worker; one that is just being read does.
 */
#define RING_COPIES     16u
/* virtio_net_hdr, Ethernet, two tags, the longest IPv4 packet; a multiple of 64. */
#define RING_COPY_BYTES 65664u

/* Counters that change in one step: those of an interface, with all its drop reasons. */
#define LEDGER_ENTRIES 32u

#define SHARD_STATE_MAGIC 0x44524853u

struct shard_copy {
	uint32_t slot;
	uint32_t bytes;
};

struct ledger_entry {
	uint64_t index; /* of the counter, in the memory of the worker slot */
	uint64_t value; /* what it becomes */
};

struct shard_state {
	uint32_t magic;
	uint32_t cursor; /* next slot to take */
	uint32_t sent;   /* first slot not sent yet; apart from cursor only while slots go back */
	uint32_t open;   /* 1: a batch is being sent */
	uint32_t batch_end;
	uint32_t driver; /* worker slot whose counters it changes, + 1; 0: nobody drove it yet */
	uint64_t generation; /* of the table that the batch was looked up in */

	/* Steps of the batch, see ledger.h. */
	uint64_t begun;
	uint64_t settled;
	uint64_t entries_settle; /* `settled` once the entries are carried out */
	uint32_t entry_count;    /* 0: all are carried out */
	uint32_t reserved2;

	/*
	 * Buffers are used in a circle: those of the batch, then one that waits for its slot.
	 * One word, which changes at once: first buffer | copies of the batch << 8 | bytes of
	 * the waiting one (0: none) << 32.
	 */
	uint64_t copy_use;
	struct shard_copy copies[RING_COPIES];
	struct ledger_entry entries[LEDGER_ENTRIES];

	uint8_t copy_memory[RING_COPIES][RING_COPY_BYTES];
};

/* Keeps the compiler from moving a store to memory that outlives the worker across it. */
static inline void state_fence(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

#endif
