/*
 * One slot of a ring: where it lies, whose it is, what it holds. For ring.c and ring_copies.c;
 * inline, since it is done for each frame.
 */
#ifndef SLUICE_RING_SLOT_H
#define SLUICE_RING_SLOT_H

#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "ring.h"

#define VNET_HEADER_BYTES sizeof(struct virtio_net_hdr)
#define SLOT_HEADER_BYTES TPACKET_ALIGN(sizeof(struct tpacket2_hdr))

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

/* virtio_net_hdr lies before the frame's bytes, at any alignment. */
static inline void slot_describe_segments(struct frame *frame, const uint8_t *vnet_header)
{
	struct virtio_net_hdr header;

	memcpy(&header, vnet_header, sizeof(header));
	frame->gso_type = header.gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
	frame->gso_bytes = header.gso_size;
}

/* What a slot holds. Other processes map this memory too: nothing in it is believed unseen. */
static inline void slot_read(const struct ring *ring, const struct tpacket2_hdr *header,
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
	/* Without it no super-packet is whole: see filter.c. */
	if (ring->geometry.vnet_header)
		slot_describe_segments(frame, frame->bytes - VNET_HEADER_BYTES);
}

#endif
