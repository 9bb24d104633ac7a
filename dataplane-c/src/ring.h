/*
 * One capture socket's TPACKET_V2 ring (Documentation/networking/packet_mmap.rst)
 * and the shard state beside it.
 *
 * Frames are taken at the cursor, used where they lie, and given back all together
 * after they were sent. What a successor must know is written in this order, so that
 * it can tell how far a killed predecessor came:
 *
 *   sends … → state.sent = next → slots back to the kernel → state.cursor = next
 *
 * Slots between cursor and sent were sent: ring_map() gives them back unread. Only
 * a batch that was being sent when its worker died is sent (in part) twice, but for its
 * super-packets longer than a slot, whose copies are gone from the socket's queue.
 *
 * Who touches a slot is told by tp_status alone: TP_STATUS_USER is ours (acquire
 * after reading it), TP_STATUS_KERNEL the kernel's (release before writing it).
 */
#ifndef SLUICE_RING_H
#define SLUICE_RING_H

#include <stdbool.h>

#include "frame.h"
#include "sluice.h"

/*
 * Super-packets longer than a slot in one batch. Few: their copies, once read, die with the
 * worker, so these are what a killed worker loses.
 */
#define RING_COPIES     16u
/* virtio_net_hdr, Ethernet, two tags, the longest IPv4 packet; a multiple of 64. */
#define RING_COPY_BYTES 65664u

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
	struct sluice_shard_state *state;
	size_t state_bytes;

	uint8_t *copies[RING_COPIES]; /* [0, used): lent to the open batch */
	uint8_t *copies_memory;
	uint32_t copies_used;
	/* The copy of a later slot, in copies[copies_used]; 0: none. */
	size_t waiting_bytes;
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

/* Is there a frame to take? One load. */
bool ring_ready(const struct ring *ring);

/*
 * The next frame, valid until ring_return(). RING_EMPTY too when the batch can hold
 * no more: all slots of the ring, or all buffers for copies, are out.
 */
enum ring_take ring_take(struct ring *ring, struct frame *frame);
/* All frames taken so far have been sent: gives their slots back. */
void ring_return(struct ring *ring);

/* Frames the kernel dropped since the last call (PACKET_STATISTICS clears on read). */
uint32_t ring_kernel_drops(struct ring *ring);

/*
 * The socket is said to be readable, but nothing is at the cursor. Finds the slot to
 * go on at, or removes a copy whose slot is gone. True if something was amiss.
 */
bool ring_resynchronise(struct ring *ring);

#endif
