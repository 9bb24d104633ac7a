/*
 * One capture socket's TPACKET_V2 ring (Documentation/networking/packet_mmap.rst)
 * and the shard state beside it.
 *
 * Frames are taken at the cursor, used where they lie, and given back all together
 * after they were sent. A successor goes on where its predecessor was killed: it gives
 * back what was sent already, and takes the batch that was being sent, or put together,
 * once more, the same frames (shard_state.h, ledger.h).
 *
 * Who touches a slot is told by tp_status alone: TP_STATUS_USER is ours (acquire
 * after reading it), TP_STATUS_KERNEL the kernel's (release before writing it).
 */
#ifndef SLUICE_RING_H
#define SLUICE_RING_H

#include <stdbool.h>

#include "frame.h"
#include "shard_state.h"

struct ring {
	int fd;
	uint8_t *slots;
	size_t slots_bytes;
	struct sluice_ring geometry;
	uint32_t per_block;
	bool contiguous; /* slots fill the blocks: slot n lies at n × frame_bytes */

	uint32_t cursor;   /* next slot to take */
	uint32_t returned; /* next slot to give back; the same when no batch is open */
	uint32_t taken;    /* slots of the open batch */
	bool bounded;      /* the batch to take is a predecessor's, and ends at batch_end */
	bool resuming;     /* which had begun to send it */
	uint32_t batch_end;
	uint64_t begun, settled; /* of that batch */
	uint64_t generation;

	/* Written for a successor; nothing in it is read but in ring_map(). */
	struct shard_state *state;
	size_t state_bytes;
	/* Buffers in state->copy_memory, in a circle from first_copy on: lent to the batch, then waiting. */
	uint32_t first_copy;
	uint32_t copies_used;
	uint32_t waiting_bytes;                /* the copy of a later slot; 0: none */
	struct shard_copy copies[RING_COPIES]; /* those of the batch */
};

enum ring_take {
	RING_EMPTY = 0,
	RING_FRAME,
	RING_OUTGOING /* sent by this host: no business of ours */
};

/*
 * Maps ring and state and goes on where the predecessor stopped. Takes both
 * descriptors on success only. 0, -EINVAL (the geometry can't be a ring's, the state
 * is none), -ENOTSOCK (no packet socket), or what mmap says.
 */
int ring_map(struct ring *ring, int fd, int state_fd, const struct sluice_ring *geometry);
void ring_unmap(struct ring *ring);
/*
 * ring_map() without the mapping: `slots` and `state` are of the geometry's size, and stay
 * the caller's, as fd does.
 */
int ring_adopt(struct ring *ring, int fd, void *slots, struct shard_state *state,
	       const struct sluice_ring *geometry);

/* Is there a frame to take? One load. */
bool ring_ready(const struct ring *ring);

/*
 * The next frame, valid until ring_return(). RING_EMPTY too when the batch can hold
 * no more: all slots of the ring, or all buffers for copies, are out.
 */
enum ring_take ring_take(struct ring *ring, struct frame *frame);
/* All frames taken so far have been sent and counted: gives their slots back. None: no batch is resumed any more. */
void ring_return(struct ring *ring);

/* Frames the kernel dropped since the last call (PACKET_STATISTICS clears on read). */
uint32_t ring_kernel_drops(struct ring *ring);

/*
 * The socket is said to be readable, but nothing is at the cursor. Finds the slot to
 * go on at, or removes a copy whose slot is gone. True if something was amiss.
 */
bool ring_resynchronise(struct ring *ring);

#endif
