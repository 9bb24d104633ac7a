#include "frame.h"

#include <arpa/inet.h>
#include <linux/virtio_net.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <string.h>

/* Linux 6.2; older uapi headers lack it. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define ETHERNET_BYTES     14u
#define VLAN_TAG_BYTES     4u
#define IPV4_MIN_BYTES     20u
#define UDP_BYTES          8u
#define VLAN_ID_MASK       0x0fffu
#define FRAGMENT_MASK      0x3fffu /* MORE FRAGMENTS and the offset */
#define ETHERTYPE_IPV4     0x0800u
#define ETHERTYPE_VLAN     0x8100u
#define ETHERTYPE_PROVIDER 0x88a8u

/* Bytes not yet parsed. */
struct cursor {
	const uint8_t *at;
	const uint8_t *end;
};

static inline size_t left(const struct cursor *cursor)
{
	return (size_t)(cursor->end - cursor->at);
}

/* The packet's header lies at any address: load by bytes, let the compiler merge them. */
static inline uint16_t load_be16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline uint16_t load_raw16(const uint8_t *bytes)
{
	uint16_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static inline uint32_t load_raw32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

static inline bool is_vlan(uint16_t ethertype)
{
	return ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_PROVIDER;
}

/*
 * RFC 1071. The sum of 16-bit words does not depend on how they are grouped, so
 * 32 bits are added at a time and folded at the end; 2^32 additions fit.
 */
static inline uint64_t sum_words(const uint8_t *bytes, size_t count, uint64_t sum)
{
	uint64_t other = 0;

	/* Two chains: the additions of one need not wait for those of the other. */
	while (count >= 16) {
		sum += (uint64_t)load_raw32(bytes) + load_raw32(bytes + 4);
		other += (uint64_t)load_raw32(bytes + 8) + load_raw32(bytes + 12);
		bytes += 16;
		count -= 16;
	}
	sum += other;
	while (count >= 4) {
		sum += load_raw32(bytes);
		bytes += 4;
		count -= 4;
	}
	if (count >= 2) {
		sum += load_raw16(bytes);
		bytes += 2;
		count -= 2;
	}
	if (count) {
		const uint8_t last[2] = { bytes[0], 0 };

		sum += load_raw16(last);
	}
	return sum;
}

static inline uint16_t fold(uint64_t sum)
{
	sum = (sum & 0xffffffffu) + (sum >> 32);
	sum = (sum & 0xffffffffu) + (sum >> 32);
	sum = (sum & 0xffffu) + (sum >> 16);
	sum = (sum & 0xffffu) + (sum >> 16);
	return (uint16_t)sum;
}

/* RFC 768: 0 means that the sender made none. */
static bool udp_checksum_holds(const uint8_t *udp, uint16_t udp_bytes, const uint8_t *addresses)
{
	uint64_t sum;

	if (load_raw16(udp + 6) == 0)
		return true;
	sum = sum_words(addresses, 8, (uint64_t)htons(IPPROTO_UDP) + htons(udp_bytes));
	return fold(sum_words(udp, udp_bytes, sum)) == 0xffffu;
}

static inline enum sluice_drop parse_ethernet(const struct frame *frame, struct cursor *cursor,
					      uint16_t *vlan)
{
	uint16_t ethertype;

	if (left(cursor) < ETHERNET_BYTES)
		return SLUICE_DROP_SHORT_FRAME;
	ethertype = load_be16(cursor->at + 12);
	cursor->at += ETHERNET_BYTES;
	*vlan = frame->vlan_valid ? frame->vlan_tci & VLAN_ID_MASK : 0;
	if (__builtin_expect(is_vlan(ethertype), 0)) {
		if (frame->vlan_valid)
			return SLUICE_DROP_DOUBLE_TAGGED;
		if (left(cursor) < VLAN_TAG_BYTES)
			return SLUICE_DROP_SHORT_FRAME;
		*vlan = load_be16(cursor->at) & VLAN_ID_MASK;
		ethertype = load_be16(cursor->at + 2);
		cursor->at += VLAN_TAG_BYTES;
		if (is_vlan(ethertype))
			return SLUICE_DROP_DOUBLE_TAGGED;
	}
	return ethertype == ETHERTYPE_IPV4 ? FRAME_OK : SLUICE_DROP_NOT_UDP;
}

/*
 * RFC 791, 3.1: one byte, or a type, the option's length and the rest. They are not sent on.
 * A source route lets a sender choose the way; hosts take none by default (RFC 7126, 4.3).
 */
static bool options_hold(const uint8_t *option, const uint8_t *end)
{
	while (option < end && option[0] != IPOPT_END) {
		if (option[0] == IPOPT_NOOP) {
			option++;
			continue;
		}
		if (end - option < 2 || option[1] < 2 || option[1] > end - option)
			return false;
		if (option[0] == IPOPT_LSRR || option[0] == IPOPT_SSRR)
			return false;
		option += option[1];
	}
	return true;
}

/* Leaves the cursor on the UDP header, its end where the IP packet ends. */
static inline enum sluice_drop parse_ipv4(const struct frame *frame, struct cursor *cursor,
					  struct datagrams *datagrams)
{
	const uint8_t *ip = cursor->at;
	size_t header_bytes;
	size_t total_bytes;

	if (left(cursor) < IPV4_MIN_BYTES)
		return SLUICE_DROP_SHORT_FRAME;
	header_bytes = (size_t)(ip[0] & 0x0fu) * 4;
	total_bytes = load_be16(ip + 2);
	if (ip[0] >> 4 != 4 || header_bytes < IPV4_MIN_BYTES || total_bytes < header_bytes)
		return SLUICE_DROP_BAD_IP_HEADER;
	if (left(cursor) < header_bytes)
		return SLUICE_DROP_SHORT_FRAME;
	/* Only the UDP checksum is ever left to the hardware; this one is always there. */
	if (fold(sum_words(ip, header_bytes, 0)) != 0xffffu)
		return SLUICE_DROP_BAD_IP_CHECKSUM;
	if (__builtin_expect(header_bytes > IPV4_MIN_BYTES, 0) &&
	    !options_hold(ip + IPV4_MIN_BYTES, ip + header_bytes))
		return SLUICE_DROP_BAD_IP_HEADER;
	if (load_be16(ip + 6) & FRAGMENT_MASK)
		return SLUICE_DROP_FRAGMENT;
	if (ip[9] != IPPROTO_UDP)
		return SLUICE_DROP_NOT_UDP;
	if (left(cursor) < total_bytes)
		return frame->captured < frame->length ? SLUICE_DROP_TRUNCATED
						       : SLUICE_DROP_BAD_IP_HEADER;
	datagrams->source_be = load_raw32(ip + 12);
	datagrams->destination_be = load_raw32(ip + 16);
	/* What follows the packet is Ethernet's padding. */
	cursor->end = ip + total_bytes;
	cursor->at = ip + header_bytes;
	return FRAME_OK;
}

/*
 * How many datagrams one UDP header stands for. In a super-packet it covers all
 * of them (the kernel writes the sum into its length field).
 */
static inline enum sluice_drop count_segments(const struct frame *frame,
					      struct datagrams *datagrams)
{
	datagrams->segment_bytes = datagrams->payload_bytes;
	datagrams->count = 1;
	/* UDP fragmentation offload (GSO_UDP) is one datagram, however long. */
	if (frame->gso_type == VIRTIO_NET_HDR_GSO_NONE || frame->gso_type == VIRTIO_NET_HDR_GSO_UDP)
		return FRAME_OK;
	if (frame->gso_type != VIRTIO_NET_HDR_GSO_UDP_L4 || frame->gso_bytes == 0)
		return SLUICE_DROP_BAD_SEGMENT_SIZE;
	if (frame->gso_bytes >= datagrams->payload_bytes)
		return FRAME_OK;
	datagrams->segment_bytes = frame->gso_bytes;
	datagrams->count = (datagrams->payload_bytes + frame->gso_bytes - 1u) / frame->gso_bytes;
	return datagrams->count <= FRAME_MAX_SEGMENTS ? FRAME_OK : SLUICE_DROP_BAD_SEGMENT_SIZE;
}

static inline enum sluice_drop parse_udp(const struct frame *frame, struct cursor *cursor,
					 const uint8_t *addresses, struct datagrams *datagrams)
{
	const uint8_t *udp = cursor->at;
	uint16_t udp_bytes;
	enum sluice_drop drop;

	if (left(cursor) < UDP_BYTES)
		return SLUICE_DROP_BAD_UDP_LENGTH;
	udp_bytes = load_be16(udp + 4);
	if (udp_bytes < UDP_BYTES || udp_bytes > left(cursor))
		return SLUICE_DROP_BAD_UDP_LENGTH;
	datagrams->port_be = load_raw16(udp + 2);
	datagrams->payload = udp + UDP_BYTES;
	datagrams->payload_bytes = udp_bytes - UDP_BYTES;
	drop = count_segments(frame, datagrams);
	if (drop != FRAME_OK)
		return drop;
	/* The header of a super-packet carries no checksum that could be verified. */
	if (!frame->checksum_vouched && datagrams->count == 1 &&
	    !udp_checksum_holds(udp, udp_bytes, addresses))
		return SLUICE_DROP_BAD_UDP_CHECKSUM;
	return FRAME_OK;
}

enum sluice_drop frame_parse(const struct frame *frame, struct datagrams *datagrams)
{
	struct cursor cursor = { frame->bytes, frame->bytes + frame->captured };
	enum sluice_drop drop;
	const uint8_t *ip;

	drop = parse_ethernet(frame, &cursor, &datagrams->vlan);
	if (drop != FRAME_OK)
		return drop;
	ip = cursor.at;
	drop = parse_ipv4(frame, &cursor, datagrams);
	if (drop != FRAME_OK)
		return drop;
	return parse_udp(frame, &cursor, ip + 12, datagrams);
}
