#include "datagram.h"
#include "sluice.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define DEADLINE_MS 10000

static void require(bool holds)
{
	if (!holds)
		give_up("datagram: %s", strerror(errno));
}

struct sockaddr_in endpoint(const char *address, uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = be(address),
	};
}

int open_udp(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		give_up("socket: %s", strerror(errno));
	return fd;
}

static int set_one(int fd, int level, int name)
{
	const int one = 1;

	return setsockopt(fd, level, name, &one, sizeof(one));
}

int receiver(const char *address, uint16_t port, const char *group, uint32_t ifindex, bool shared)
{
	struct sockaddr_in name = endpoint(address, port);
	int fd = open_udp();

	set_one(fd, IPPROTO_IP, IP_RECVTTL);
	set_one(fd, IPPROTO_IP, IP_RECVTOS);
	if (shared)
		set_one(fd, SOL_SOCKET, SO_REUSEADDR);
	if (bind(fd, (struct sockaddr *)&name, sizeof(name))) {
		sluice_close(fd);
		return -1;
	}
	if (group) {
		struct ip_mreqn join = { .imr_multiaddr.s_addr = be(group),
					 .imr_ifindex = (int)ifindex };

		require(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof(join)) == 0);
	}
	return fd;
}

struct arrival receive(int fd)
{
	static char payload[65536];
	char control[256];
	struct arrival arrival = { .bytes = -1 };
	struct iovec part = { .iov_base = payload, .iov_len = sizeof(payload) };
	struct msghdr message = {
		.msg_name = &arrival.from,
		.msg_namelen = sizeof(arrival.from),
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	if (poll(&wait, 1, DEADLINE_MS) == 1)
		arrival.bytes = recvmsg(fd, &message, 0);
	if (arrival.bytes < 0)
		return arrival;
	for (struct cmsghdr *item = CMSG_FIRSTHDR(&message); item;
	     item = CMSG_NXTHDR(&message, item)) {
		if (item->cmsg_type == IP_TTL)
			memcpy(&arrival.ttl, CMSG_DATA(item), sizeof(int));
		else if (item->cmsg_type == IP_TOS)
			arrival.tos = *CMSG_DATA(item);
	}
	return arrival;
}

bool is_empty(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

void send_to_near(const struct veth_pair *pair)
{
	struct ip_mreqn out = { .imr_ifindex = (int)pair->far_ifindex };
	const char *const destinations[] = { "224.0.0.0", NEAR_ADDRESS, TEST_GROUP };
	int fd;

	enter_far(pair);
	fd = open_udp();
	require(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &out, sizeof(out)) == 0);
	for (int i = 0; i < 3; i++) {
		struct sockaddr_in to = endpoint(destinations[i], TEST_PORT);

		require(sendto(fd, "123", i, 0, (struct sockaddr *)&to, sizeof(to)) == i);
	}
	sluice_close(fd);
	enter_near(pair);
}

int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);

	return getsockopt(fd, level, name, &value, &length) ? -errno : value;
}
