#include "ring_copies.h"

#include <string.h>
#include <sys/socket.h>

#include "ring_slot.h"

/* Copies looked at for one slot: a queue that is far behind is caught up over several. */
#define COPIES_TRIED 64u

_Static_assert(RING_COPY_BYTES % 64 == 0, "buffers begin at a cache line");

static void note_copies(const struct ring *ring)
{
	state_fence();
	ring->state->copy_use = ring->first_copy | (uint64_t)ring->copies_used << 8 |
				(uint64_t)ring->waiting_bytes << 32;
	state_fence();
}

void copies_adopt(struct ring *ring)
{
	const uint64_t use = ring->state->copy_use;

	ring->first_copy = use & 0xff;
	ring->copies_used = use >> 8 & 0xff;
	ring->waiting_bytes = (uint32_t)(use >> 32);
	memcpy(ring->copies, ring->state->copies, sizeof(ring->copies));
	if (ring->first_copy >= RING_COPIES || ring->copies_used > RING_COPIES ||
	    ring->waiting_bytes > RING_COPY_BYTES) {
		ring->first_copy = 0;
		ring->copies_used = 0;
		ring->waiting_bytes = 0;
	}
	for (uint32_t copy = 0; copy < ring->copies_used; copy++) {
		if (ring->copies[copy].bytes > RING_COPY_BYTES)
			ring->copies[copy].bytes = 0;
	}
}

void copies_release_all(struct ring *ring)
{
	ring->first_copy = (ring->first_copy + ring->copies_used) % RING_COPIES;
	/* One that waits is the first of the circle now. */
	ring->copies_used = 0;
	note_copies(ring);
}

uint32_t copies_end(const struct ring *ring)
{
	const uint32_t count = ring->copies_used;
	const uint32_t last = count ? ring->copies[count - 1].slot : ring->geometry.frame_count;

	return last < ring->geometry.frame_count ? slot_after(ring, last) : ring->cursor;
}

static uint8_t *copy_buffer(const struct ring *ring, uint32_t copy)
{
	return ring->state->copy_memory[(ring->first_copy + copy) % RING_COPIES];
}

static void set_waiting(struct ring *ring, uint32_t bytes)
{
	ring->waiting_bytes = bytes;
	note_copies(ring);
}

/* The next whole frame of the socket's queue, into the next free buffer. Its bytes, 0: none. */
static uint32_t receive_copy(struct ring *ring)
{
	/* MSG_TRUNC: the real length, so that a longer one can't pass for ours. */
	ssize_t bytes = recv(ring->fd, copy_buffer(ring, ring->copies_used), RING_COPY_BYTES,
			     MSG_DONTWAIT | MSG_TRUNC);

	if (bytes <= 0)
		return 0;
	if (bytes <= RING_COPY_BYTES)
		set_waiting(ring, (uint32_t)bytes);
	return (uint32_t)bytes;
}

/* A copy begins like its slot and is as long as the slot says. */
static bool copy_matches(const struct ring *ring, uint32_t copy, uint32_t copy_bytes,
			 const struct frame *frame)
{
	const size_t prefix = ring->geometry.vnet_header ? VNET_HEADER_BYTES : 0;

	return copy_bytes == prefix + frame->length && copy_bytes <= RING_COPY_BYTES &&
	       memcmp(copy_buffer(ring, copy) + prefix, frame->bytes, frame->captured) == 0;
}

/* Does the copy at hand belong to one of the slots that are still to come? */
static bool copy_is_ahead(const struct ring *ring, uint32_t copy_bytes)
{
	uint32_t slot = ring->cursor;

	for (uint32_t step = ring->taken; step < ring->geometry.frame_count; step++) {
		const uint32_t status = slot_status(ring, slot);
		struct frame frame;

		if (!(status & TP_STATUS_USER))
			return false;
		slot_read(ring, slot_header(ring, slot), status, &frame);
		if (status & TP_STATUS_COPY &&
		    copy_matches(ring, ring->copies_used, copy_bytes, &frame))
			return true;
		slot = slot_after(ring, slot);
	}
	return false;
}

/*
 * The bytes of this slot's copy, now in the next free buffer; 0: there is none. Copies come
 * in the order of the slots, as long as no predecessor died while it read one, which leaves
 * the queue ahead of the slots. A copy of a later slot waits for it; one that belongs to none
 * is behind, and thrown away.
 */
static uint32_t find_copy(struct ring *ring, const struct frame *frame)
{
	for (uint32_t tries = 0; tries < COPIES_TRIED; tries++) {
		uint32_t bytes = ring->waiting_bytes ? ring->waiting_bytes : receive_copy(ring);

		if (!bytes || copy_matches(ring, ring->copies_used, bytes, frame))
			return bytes;
		/* Longer than any IPv4 packet: no buffer holds it, and it need not. */
		if (bytes > RING_COPY_BYTES)
			continue;
		if (copy_is_ahead(ring, bytes))
			return 0;
		set_waiting(ring, 0);
	}
	return 0;
}

/* The copy that a predecessor had read for this slot; RING_COPIES: none. */
static uint32_t copy_read_before(const struct ring *ring, uint32_t slot, const struct frame *frame)
{
	for (uint32_t copy = 0; ring->bounded && copy < ring->copies_used; copy++) {
		if (ring->copies[copy].slot == slot &&
		    copy_matches(ring, copy, ring->copies[copy].bytes, frame))
			return copy;
	}
	return RING_COPIES;
}

/* Into the next free buffer, and noted for a successor. */
static uint32_t read_copy(struct ring *ring, uint32_t slot, const struct frame *frame)
{
	const uint32_t copy = ring->copies_used;
	uint32_t bytes = copy < RING_COPIES ? find_copy(ring, frame) : 0;

	if (!bytes)
		return RING_COPIES;
	ring->copies[copy] = (struct shard_copy){ .slot = slot, .bytes = bytes };
	ring->state->copies[copy] = ring->copies[copy];
	ring->copies_used = copy + 1;
	set_waiting(ring, 0);
	return copy;
}

void copies_take(struct ring *ring, uint32_t slot, struct frame *frame)
{
	const size_t prefix = ring->geometry.vnet_header ? VNET_HEADER_BYTES : 0;
	uint32_t copy = copy_read_before(ring, slot, frame);

	if (copy == RING_COPIES)
		copy = read_copy(ring, slot, frame);
	if (copy == RING_COPIES)
		return;
	if (prefix)
		slot_describe_segments(frame, copy_buffer(ring, copy));
	frame->bytes = copy_buffer(ring, copy) + prefix;
	frame->captured = frame->length;
}

bool copies_throw_one_away(struct ring *ring)
{
	set_waiting(ring, 0);
	if (!receive_copy(ring))
		return false;
	set_waiting(ring, 0);
	return true;
}
