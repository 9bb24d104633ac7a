#include "wire.h"
#include "frame_bytes.h"
#include "veth_pair.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>

int wire_open(uint32_t ifindex)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_ifindex = (int)ifindex };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)))
		give_up("wire: %s", strerror(errno));
	return fd;
}

void wire_send(int wire, const struct wire_frame *frame)
{
	while (send(wire, frame->frame, frame->bytes, 0) < 0)
		if (errno != ENOBUFS && errno != EINTR)
			give_up("wire: send %zu bytes: %s", frame->bytes, strerror(errno));
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value);
}

void wire_datagram(struct wire_frame *frame, uint32_t destination_be, uint16_t source_port,
		   uint32_t mark, size_t payload_bytes)
{
	static const uint8_t near_mac[] = NEAR_MAC_BYTES, far_mac[] = FAR_MAC_BYTES;
	const uint32_t destination = ntohl(destination_be);
	uint8_t *const ethernet = frame->frame, *const ip_header = ethernet + 14,
		       *const udp = ip_header + 20;

	frame->bytes = 14 + 20 + 8 + payload_bytes;
	memset(ethernet, 0, frame->bytes);
	if (destination >> 28 == 0xe) {
		put32(ethernet, 0x01005e00 | (destination >> 16 & 0x7f));
		put16(ethernet + 4, destination & 0xffff);
	} else {
		memcpy(ethernet, near_mac, 6);
	}
	memcpy(ethernet + 6, far_mac, 6);
	put16(ethernet + 12, ETH_P_IP);
	ip_header[0] = 0x45;
	put16(ip_header + 2, (uint32_t)(28 + payload_bytes));
	ip_header[8] = 8;
	ip_header[9] = 17;
	put32(ip_header + 12, ntohl(be(FAR_ADDRESS)));
	put32(ip_header + 16, destination);
	seal_ip(ip_header);
	put16(udp, source_port);
	put16(udp + 2, 5000);
	put16(udp + 4, (uint32_t)(8 + payload_bytes));
	if (payload_bytes >= 4)
		put32(udp + 8, mark);
}

void wire_add_tag(struct wire_frame *frame, uint16_t ethertype, uint16_t vlan)
{
	memmove(frame->frame + 16, frame->frame + 12, frame->bytes - 12);
	put16(frame->frame + 12, ethertype);
	put16(frame->frame + 14, vlan);
	frame->bytes += 4;
}
