#include "ring.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mapping.h"

/* Linux 6.2; older uapi headers lack it. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define VNET_HEADER_BYTES sizeof(struct virtio_net_hdr)
#define SLOT_HEADER_BYTES TPACKET_ALIGN(sizeof(struct tpacket2_hdr))
/* Copies looked at for one slot: a queue that is far behind is caught up over several. */
#define COPIES_TRIED      64u

_Static_assert(RING_COPY_BYTES % 64 == 0, "buffers begin at a cache line");

static inline struct tpacket2_hdr *slot_header(const struct ring *ring, uint32_t slot)
{
	const struct sluice_ring *geometry = &ring->geometry;

	/* As sluice_ring_plan() makes them: no division on the way to a slot. */
	if (__builtin_expect(ring->contiguous, 1))
		return (void *)(ring->slots + (size_t)slot * geometry->frame_bytes);
	return (void *)(ring->slots + (size_t)(slot / ring->per_block) * geometry->block_bytes +
			(size_t)(slot % ring->per_block) * geometry->frame_bytes);
}

static inline uint32_t slot_after(const struct ring *ring, uint32_t slot)
{
	return slot + 1 == ring->geometry.frame_count ? 0 : slot + 1;
}

static inline uint32_t slot_status(const struct ring *ring, uint32_t slot)
{
	/* Acquire: what the kernel wrote before the status is read after it. */
	return __atomic_load_n(&slot_header(ring, slot)->tp_status, __ATOMIC_ACQUIRE);
}

static inline void slot_give_back(const struct ring *ring, uint32_t slot)
{
	/* Release: the kernel overwrites the slot only after our last read of it. */
	__atomic_store_n(&slot_header(ring, slot)->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
}

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

static void note_copies(const struct ring *ring)
{
	state_fence();
	ring->state->copy_use = ring->first_copy | (uint64_t)ring->copies_used << 8 |
				(uint64_t)ring->waiting_bytes << 32;
	state_fence();
}

static void adopt_copies(struct ring *ring)
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

/* A waiting copy is the first of the circle then. */
static void release_copies(struct ring *ring)
{
	if (__builtin_expect(!ring->copies_used, 1))
		return;
	ring->first_copy = (ring->first_copy + ring->copies_used) % RING_COPIES;
	ring->copies_used = 0;
	note_copies(ring);
}

/* What a predecessor had sent but not given back, it can't give back any more. */
static int adopt_cursor(struct ring *ring)
{
	const uint32_t frame_count = ring->geometry.frame_count;
	uint32_t cursor = ring->state->cursor;
	const uint32_t sent = ring->state->sent;

	if (ring->state->magic != SHARD_STATE_MAGIC || cursor >= frame_count || sent >= frame_count)
		return -EINVAL;
	adopt_copies(ring);
	if (cursor != sent) {
		for (; cursor != sent; cursor = slot_after(ring, cursor))
			slot_give_back(ring, cursor);
		release_copies(ring);
		state_fence();
		ring->state->cursor = cursor;
	}
	ring->cursor = cursor;
	ring->returned = cursor;
	return 0;
}

/* The slot after the last that a predecessor read a copy for; the cursor when there is none. */
static uint32_t end_of_copies(const struct ring *ring)
{
	const uint32_t count = ring->copies_used;
	const uint32_t last = count ? ring->copies[count - 1].slot : ring->geometry.frame_count;

	return last < ring->geometry.frame_count ? slot_after(ring, last) : ring->cursor;
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
		ring->batch_end = end_of_copies(ring);
	ring->bounded = ring->batch_end != ring->cursor;
	if (!ring->bounded)
		release_copies(ring);
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

/* virtio_net_hdr lies before the frame's bytes, at any alignment. */
static inline void describe_segments(struct frame *frame, const uint8_t *vnet_header)
{
	struct virtio_net_hdr header;

	memcpy(&header, vnet_header, sizeof(header));
	frame->gso_type = header.gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	frame->gso_bytes = header.gso_size;
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

/* What a slot holds. Other processes map this memory too: nothing in it is believed unseen. */
static inline void read_slot(const struct ring *ring, const struct tpacket2_hdr *header,
			     uint32_t status, struct frame *frame)
{
	const uint32_t frame_bytes = ring->geometry.frame_bytes;
	uint32_t offset = header->tp_mac;

	frame->length = header->tp_len;
	frame->captured = header->tp_snaplen;
	if (offset < SLOT_HEADER_BYTES + VNET_HEADER_BYTES || offset > frame_bytes)
		offset = frame_bytes;
	if (frame->captured > frame_bytes - offset)
		frame->captured = frame_bytes - offset;
	if (frame->captured > frame->length)
		frame->captured = frame->length;
	frame->bytes = (const uint8_t *)header + offset;
	frame->vlan_valid = status & TP_STATUS_VLAN_VALID;
	frame->vlan_tci = header->tp_vlan_tci;
	frame->checksum_vouched = status & (TP_STATUS_CSUM_VALID | TP_STATUS_CSUMNOTREADY);
	frame->gso_type = VIRTIO_NET_HDR_GSO_NONE;
	frame->gso_bytes = 0;
	if (ring->geometry.vnet_header)
		describe_segments(frame, frame->bytes - VNET_HEADER_BYTES);
	else if (status & TP_STATUS_COPY)
		/* Longer than an MTU's slot: many datagrams, and nothing says where they end. */
		frame->gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
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
		read_slot(ring, slot_header(ring, slot), status, &frame);
		if (status & TP_STATUS_COPY &&
		    copy_matches(ring, ring->copies_used, copy_bytes, &frame))
			return true;
		slot = slot_after(ring, slot);
	}
	return false;
}

/*
 * The bytes of this slot's copy, now in the next free buffer; 0: there is none. Copies come
 * in the order of the slots, as long as no predecessor died between reading copies and
 * giving their slots back, which leaves the queue ahead of the slots. A copy of a later slot
 * waits for it; one that belongs to none is behind, and thrown away.
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

/*
 * TP_STATUS_COPY: the frame is longer than its slot and lies whole in the socket's queue.
 * Without its copy it stays cut, and is dropped as TRUNCATED.
 */
static void take_copy(struct ring *ring, uint32_t slot, struct frame *frame)
{
	const size_t prefix = ring->geometry.vnet_header ? VNET_HEADER_BYTES : 0;
	uint32_t copy = copy_read_before(ring, slot, frame);

	if (copy == RING_COPIES)
		copy = read_copy(ring, slot, frame);
	if (copy == RING_COPIES)
		return;
	if (prefix)
		describe_segments(frame, copy_buffer(ring, copy));
	frame->bytes = copy_buffer(ring, copy) + prefix;
	frame->captured = frame->length;
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
	read_slot(ring, header, status, frame);
	if (__builtin_expect(status & TP_STATUS_COPY, 0))
		take_copy(ring, slot, frame);
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
		release_copies(ring);
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
	release_copies(ring);
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
	set_waiting(ring, 0);
	if (!receive_copy(ring))
		return false;
	set_waiting(ring, 0);
	return true;
}
