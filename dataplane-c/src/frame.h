/*
 * From a captured frame to the datagrams in it.
 *
 * Ethernet, at most one VLAN tag (in the capture's metadata or in the frame),
 * IPv4 (RFC 791), UDP (RFC 768). Nothing is believed that the captured bytes do
 * not hold: the payload ends where IP, UDP and capture all agree it may.
 *
 * Pure: reads only [bytes, bytes + captured), calls nothing, keeps nothing.
 */
#ifndef SLUICE_FRAME_H
#define SLUICE_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice.h"

/* No drop: the frame holds what its struct datagrams says. */
#define FRAME_OK SLUICE_DROP_COUNT

/* A super-packet never holds more: UDP_MAX_SEGMENTS since Linux 6.9 (64 before). */
#define FRAME_MAX_SEGMENTS 128u

/* What the capture knows of a frame beside its bytes. */
struct frame {
	const uint8_t *bytes;
	uint32_t captured;     /* bytes that are there */
	uint32_t length;       /* bytes that were on the wire */
	uint16_t vlan_tci;     /* of the tag that was stripped, if vlan_valid */
	uint16_t gso_bytes;    /* payload of each datagram of a super-packet */
	uint8_t gso_type;      /* VIRTIO_NET_HDR_GSO_…, 0: none */
	bool vlan_valid;       /* TP_STATUS_VLAN_VALID */
	bool checksum_vouched; /* TP_STATUS_CSUM_VALID or _CSUMNOTREADY */
};

/* One datagram, or the datagrams of one super-packet. */
struct datagrams {
	const uint8_t *payload; /* inside the frame's bytes */
	uint32_t payload_bytes; /* of all together; 0 is legal */
	uint32_t segment_bytes; /* of each but the last, which may be shorter */
	uint32_t count;         /* 1 … FRAME_MAX_SEGMENTS */
	uint32_t source_be;
	uint32_t destination_be;
	uint16_t port_be; /* destination port */
	uint16_t vlan;    /* 0: none, or priority-tagged */
};

/* FRAME_OK, or why the frame goes no further (enum sluice_drop). */
enum sluice_drop frame_parse(const struct frame *frame, struct datagrams *datagrams);

#endif
