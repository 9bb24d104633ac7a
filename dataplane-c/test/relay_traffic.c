#include "relay_traffic.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

int traffic_sender(struct rig *rig)
{
	struct in_addr from = { htonl(0x0a4d0101u) };
	const int bytes = 8 << 20;
	int fd;

	rig_enter(rig->far_namespace);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	rig_require(fd >= 0 &&
			    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &from, sizeof(from)) == 0 &&
			    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) == 0,
		    "sender");
	rig_enter(rig->relay_namespace);
	return fd;
}

static void send_message(int sender, uint32_t number, const void *payload, uint32_t bytes,
			 uint16_t segment_bytes)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)(5000 + number)),
				  .sin_addr = { htonl(0xef4d0000u + number) } };
	struct iovec vector = { (void *)payload, bytes };
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(segment_bytes))];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(segment_bytes)),
				  .cmsg_level = IPPROTO_UDP,
				  .cmsg_type = UDP_SEGMENT } };
	struct msghdr message = {
		.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &vector, .msg_iovlen = 1
	};

	if (segment_bytes) {
		memcpy(CMSG_DATA(&control.header), &segment_bytes, sizeof(segment_bytes));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	rig_require(sendmsg(sender, &message, 0) == (ssize_t)bytes, "sendmsg");
}

void traffic_send(int sender, uint32_t number, const void *payload, uint32_t bytes)
{
	send_message(sender, number, payload, bytes, 0);
}

void traffic_send_segments(int sender, uint32_t number, const void *payload, uint32_t bytes,
			   uint16_t segment_bytes)
{
	send_message(sender, number, payload, bytes, segment_bytes);
}

int traffic_receiver(struct rig *rig, uint32_t number)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)(6000 + number)),
				       .sin_addr = { htonl(0xef4e0000u + number) } };
	struct ip_mreqn join = { .imr_multiaddr = address.sin_addr };
	const int bytes = 16 << 20;
	const int off = 0;
	int fd;

	rig_enter(rig->far_namespace);
	join.imr_ifindex = (int)if_nametoindex("out1");
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	rig_require(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
			    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof(off)) == 0 &&
			    setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof(join)) ==
				    0 &&
			    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) == 0,
		    "receiver");
	rig_enter(rig->relay_namespace);
	return fd;
}

int traffic_receive(int receiver, void *payload, uint32_t capacity, int timeout_ms)
{
	struct pollfd wait = { .fd = receiver, .events = POLLIN };

	if (poll(&wait, 1, timeout_ms) != 1)
		return -1;
	return (int)recv(receiver, payload, capacity, 0);
}

int traffic_receive_header(int receiver, struct sockaddr_in *from, int *ttl, int *tos)
{
	const int on = 1;
	uint8_t payload[2048];
	uint8_t control[256];
	struct iovec vector = { payload, sizeof(payload) };
	struct msghdr message = { .msg_name = from,
				  .msg_namelen = sizeof(*from),
				  .msg_iov = &vector,
				  .msg_iovlen = 1,
				  .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct pollfd wait = { .fd = receiver, .events = POLLIN };
	ssize_t bytes;

	rig_require(setsockopt(receiver, IPPROTO_IP, IP_RECVTTL, &on, sizeof(on)) == 0 &&
			    setsockopt(receiver, IPPROTO_IP, IP_RECVTOS, &on, sizeof(on)) == 0,
		    "receive options");
	if (poll(&wait, 1, TRAFFIC_PATIENCE_MS) != 1)
		return -1;
	bytes = recvmsg(receiver, &message, 0);
	for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header;
	     header = CMSG_NXTHDR(&message, header)) {
		if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_TTL)
			memcpy(ttl, CMSG_DATA(header), sizeof(*ttl));
		if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_TOS)
			*tos = *CMSG_DATA(header);
	}
	return (int)bytes;
}

void traffic_fill(uint8_t *payload, uint32_t sequence, uint32_t bytes)
{
	for (uint32_t at = 0; at < bytes; at++)
		payload[at] =
			(uint8_t)(at < 4 ? sequence >> 8 * at : sequence * 31 + at * 7 + bytes);
}

void traffic_send_numbered(int sender, uint32_t number, uint32_t sequence, uint32_t bytes)
{
	uint8_t payload[16384];

	traffic_fill(payload, sequence, bytes);
	traffic_send(sender, number, payload, bytes);
}

bool traffic_expect(int receiver, uint32_t sequence, uint32_t bytes)
{
	static uint8_t expected[65536], received[65536];
	int length = traffic_receive(receiver, received, sizeof(received), TRAFFIC_PATIENCE_MS);

	traffic_fill(expected, sequence, bytes);
	if (length == (int)bytes && memcmp(expected, received, bytes) == 0)
		return true;
	fprintf(stderr, "expected sequence %u of %u bytes, got %d bytes: %02x %02x\n", sequence,
		bytes, length, received[0], received[1]);
	return false;
}

bool traffic_is_over(int receiver)
{
	uint8_t byte;

	return traffic_receive(receiver, &byte, 1, 0) < 0;
}
