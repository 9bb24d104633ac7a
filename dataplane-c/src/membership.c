/*
 * Memberships: they make the switch and the NIC deliver the groups. The datagrams
 * themselves are captured below the IP stack, so these sockets queue nothing.
 */
#include "sluice.h"
#include "socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int sluice_membership_open(void)
{
	int fd = socket_open_deaf();
	int error;

	if (fd < 0)
		return fd;
	/* Groups that other processes joined are not ours either. */
	error = socket_option(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
	if (!error)
		return fd;
	close(fd);
	return error;
}

static int change_group(int fd, int operation, uint32_t ifindex, uint32_t group_be)
{
	struct ip_mreqn request = {
		.imr_multiaddr.s_addr = group_be,
		.imr_ifindex = (int)ifindex,
	};

	return setsockopt(fd, IPPROTO_IP, operation, &request, sizeof(request)) ? -errno : 0;
}

static void put_address(struct sockaddr_storage *address, uint32_t address_be)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = address_be };

	memcpy(address, &in, sizeof(in));
}

static int change_source(int fd, int operation, uint32_t ifindex, uint32_t group_be,
			 uint32_t source_be)
{
	struct group_source_req request = { .gsr_interface = ifindex };

	put_address(&request.gsr_group, group_be);
	put_address(&request.gsr_source, source_be);
	return setsockopt(fd, IPPROTO_IP, operation, &request, sizeof(request)) ? -errno : 0;
}

int sluice_membership_join(int fd, uint32_t ifindex, uint32_t group_be, uint32_t source_be)
{
	/* Index 0 would let the routing table choose the interface. */
	if (ifindex == 0)
		return -EINVAL;
	if (source_be)
		return change_source(fd, MCAST_JOIN_SOURCE_GROUP, ifindex, group_be, source_be);
	return change_group(fd, IP_ADD_MEMBERSHIP, ifindex, group_be);
}

int sluice_membership_leave(int fd, uint32_t ifindex, uint32_t group_be, uint32_t source_be)
{
	if (ifindex == 0)
		return -EINVAL;
	if (source_be) {
		const int error =
			change_source(fd, MCAST_LEAVE_SOURCE_GROUP, ifindex, group_be, source_be);

		/*
		 * Without the link the kernel gives up no source, but the group with all of them:
		 * it must not be left when the socket closes, on another link of that index.
		 */
		if (error != -ENODEV)
			return error;
	}
	return change_group(fd, IP_DROP_MEMBERSHIP, ifindex, group_be);
}
