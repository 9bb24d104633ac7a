/*
 * Frames that are longer than their slot (TP_STATUS_COPY): the kernel puts them whole into the
 * socket's queue as well. They are read from there into the shard's state, so that a successor
 * has them (shard_state.h); the queue gives each only once.
 *
 * Copies come in the order of the slots. A buffer is lent to the batch until copies_release();
 * one that was read too early waits in the next.
 */
#ifndef SLUICE_RING_COPIES_H
#define SLUICE_RING_COPIES_H

#include "ring.h"

/* Those of a predecessor. A state that makes no sense has none. */
void copies_adopt(struct ring *ring);
/* The slot after the last that a predecessor read a copy for; the cursor when there is none. */
uint32_t copies_end(const struct ring *ring);

/*
 * The whole frame of this slot, which stays cut when there is no copy, and is dropped as
 * TRUNCATED.
 */
void copies_take(struct ring *ring, uint32_t slot, struct frame *frame);

void copies_release_all(struct ring *ring);
/* The batch's are of no more use. Few batches have any. */
static inline void copies_release(struct ring *ring)
{
	if (__builtin_expect(ring->copies_used, 0))
		copies_release_all(ring);
}

/* Outside a batch, with nothing at the cursor: the queue's first belongs to no slot. False: it has none. */
bool copies_throw_one_away(struct ring *ring);

#endif
