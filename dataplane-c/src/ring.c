#include "ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mapping.h"
#include "ring_copies.h"
#include "ring_slot.h"

static bool geometry_is_valid(const struct sluice_ring *geometry)
{
	const long page_bytes = sysconf(_SC_PAGESIZE);

	return geometry->frame_bytes >= TPACKET2_HDRLEN + VNET_HEADER_BYTES &&
	       geometry->frame_bytes % TPACKET_ALIGNMENT == 0 &&
	       geometry->block_bytes >= geometry->frame_bytes &&
	       geometry->block_bytes % (uint32_t)page_bytes == 0 && geometry->block_count &&
	       geometry->frame_count / geometry->block_count ==
		       geometry->block_bytes / geometry->frame_bytes &&
	       geometry->frame_count % geometry->block_count == 0 && geometry->vnet_header <= 1;
}

/* What a predecessor had sent but not given back, it can't give back any more. */
static int adopt_cursor(struct ring *ring)
{
	const uint32_t frame_count = ring->geometry.frame_count;
	uint32_t cursor = ring->state->cursor;
	const uint32_t sent = ring->state->sent;

	if (ring->state->magic != SHARD_STATE_MAGIC || cursor >= frame_count || sent >= frame_count)
		return -EINVAL;
	copies_adopt(ring);
	if (cursor != sent) {
		for (; cursor != sent; cursor = slot_after(ring, cursor))
			slot_give_back(ring, cursor);
		copies_release(ring);
		state_fence();
		ring->state->cursor = cursor;
	}
	ring->cursor = cursor;
	ring->returned = cursor;
	return 0;
}

/*
 * What it was sending is taken once more, and what it was putting together is taken with the
 * copies that it has read. A state that makes no sense says nothing.
 */
static void adopt_batch(struct ring *ring)
{
	const struct shard_state *state = ring->state;

	ring->batch_end = state->batch_end;
	ring->begun = state->begun;
	ring->settled = state->settled;
	ring->generation = state->generation;
	ring->resuming = state->open && ring->batch_end < ring->geometry.frame_count &&
			 ring->batch_end != ring->cursor;
	if (!ring->resuming)
		ring->batch_end = copies_end(ring);
	ring->bounded = ring->batch_end != ring->cursor;
	if (!ring->bounded)
		copies_release(ring);
}

static void lay_out(struct ring *ring, const struct sluice_ring *geometry)
{
	ring->geometry = *geometry;
	ring->per_block = geometry->frame_count / geometry->block_count;
	ring->contiguous = geometry->block_bytes % geometry->frame_bytes == 0;
	ring->slots_bytes = (size_t)geometry->block_bytes * geometry->block_count;
}

static int adopt(struct ring *ring)
{
	int error = adopt_cursor(ring);

	if (!error)
		adopt_batch(ring);
	return error;
}

int ring_adopt(struct ring *ring, int fd, void *slots, struct shard_state *state,
	       const struct sluice_ring *geometry)
{
	memset(ring, 0, sizeof(*ring));
	if (!geometry_is_valid(geometry))
		return -EINVAL;
	lay_out(ring, geometry);
	ring->fd = fd;
	ring->slots = slots;
	ring->state = state;
	return adopt(ring);
}

static void unmap_all(struct ring *ring)
{
	mapping_close(ring->slots, ring->slots_bytes);
	mapping_close(ring->state, ring->state_bytes);
	ring->slots = NULL;
	ring->state = NULL;
}

/* Only there does mmap() refuse a length that is not the ring's: reading beyond a file's end is SIGBUS. */
static bool is_packet_socket(int fd)
{
	int domain;
	socklen_t length = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_PACKET;
}

int ring_map(struct ring *ring, int fd, int state_fd, const struct sluice_ring *geometry)
{
	void *memory;
	int error;

	memset(ring, 0, sizeof(*ring));
	ring->fd = -1;
	if (!geometry_is_valid(geometry))
		return -EINVAL;
	if (!is_packet_socket(fd))
		return -ENOTSOCK;
	lay_out(ring, geometry);
	error = mapping_open(state_fd, MAPPING_SHARED, sizeof(*ring->state), &memory,
			     &ring->state_bytes);
	if (error)
		return error;
	ring->state = memory;
	/* The kernel refuses a length that is not the ring's. */
	memory = mmap(NULL, ring->slots_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		error = -errno;
	else
		ring->slots = memory;
	if (!error)
		error = adopt(ring);
	if (error) {
		unmap_all(ring);
		return error;
	}
	ring->fd = fd;
	/* The mapping keeps the state; its descriptor is of no more use. */
	close(state_fd);
	return 0;
}

void ring_unmap(struct ring *ring)
{
	unmap_all(ring);
	if (ring->fd >= 0)
		close(ring->fd);
	ring->fd = -1;
}

bool ring_ready(const struct ring *ring)
{
	return slot_status(ring, ring->cursor) & TP_STATUS_USER;
}

/*
 * Having taken all slots, the one at the cursor would be one of our own batch; one fewer
 * keeps the batch's ends apart.
 */
static bool batch_is_over(const struct ring *ring)
{
	if (__builtin_expect(ring->bounded, 0))
		return ring->cursor == ring->batch_end;
	return ring->taken + 1 >= ring->geometry.frame_count || ring->copies_used == RING_COPIES;
}

enum ring_take ring_take(struct ring *ring, struct frame *frame)
{
	const uint32_t slot = ring->cursor;
	const struct tpacket2_hdr *header = slot_header(ring, slot);
	const struct sockaddr_ll *from =
		(const void *)((const uint8_t *)header + SLOT_HEADER_BYTES);
	uint32_t status;

	if (batch_is_over(ring))
		return RING_EMPTY;
	status = slot_status(ring, slot);
	if (!(status & TP_STATUS_USER))
		return RING_EMPTY;
	ring->cursor = slot_after(ring, slot);
	ring->taken++;
	__builtin_prefetch(slot_header(ring, ring->cursor));
	slot_read(ring, header, status, frame);
	if (__builtin_expect(status & TP_STATUS_COPY, 0))
		copies_take(ring, slot, frame);
	return __builtin_expect(from->sll_pkttype == PACKET_OUTGOING, 0) ? RING_OUTGOING
									 : RING_FRAME;
}

void ring_return(struct ring *ring)
{
	struct shard_state *state = ring->state;

	ring->resuming = false;
	ring->bounded = false;
	if (!ring->taken) {
		/* A predecessor's batch that has no frames has no copies either: they would stay lent. */
		copies_release(ring);
		return;
	}
	state->sent = ring->cursor;
	state_fence();
	state->open = 0;
	state_fence();
	for (uint32_t left = ring->taken; left; left--) {
		slot_give_back(ring, ring->returned);
		ring->returned = slot_after(ring, ring->returned);
	}
	/* Before the cursor moves: copies that are there then are of slots that are to be taken. */
	copies_release(ring);
	state_fence();
	state->cursor = ring->cursor;
	ring->taken = 0;
}

uint32_t ring_kernel_drops(struct ring *ring)
{
	struct tpacket_stats statistics;
	socklen_t length = sizeof(statistics);

	if (getsockopt(ring->fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &length))
		return 0;
	return statistics.tp_drops;
}

bool ring_resynchronise(struct ring *ring)
{
	uint32_t slot = ring->cursor;

	for (uint32_t step = 0; step < ring->geometry.frame_count; step++) {
		if (slot_status(ring, slot) & TP_STATUS_USER) {
			if (slot == ring->cursor)
				return false;
			ring->cursor = slot;
			ring->returned = slot;
			ring->state->sent = slot;
			ring->state->cursor = slot;
			return true;
		}
		slot = slot_after(ring, slot);
	}
	return copies_throw_one_away(ring);
}
