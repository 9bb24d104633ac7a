/* Egress sockets: made here with capabilities, used by workers without. */
#include "sluice.h"
#include "socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* The kernel doubles it. Room for a burst of 1→64 fan-out of one full batch. */
#define SEND_BUFFER_BYTES (8 << 20)

/* "Base address (reserved)" of RFC 1112: routers never forward it, nobody joins it. */
#define RESERVED_GROUP 0xe0000000u

static int set_options(int fd, uint32_t ifindex)
{
	const struct {
		int level, name, value;
	} options[] = {
		{ SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER_BYTES },
		{ SOL_SOCKET, SO_REUSEADDR, 1 },
		{ IPPROTO_IP, IP_MULTICAST_LOOP, 0 },
		/* Without it a full qdisc drops in silence; with it the send says ENOBUFS. */
		{ IPPROTO_IP, IP_RECVERR, 1 },
		{ IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT },
	};
	struct ip_mreqn multicast_interface = { .imr_ifindex = (int)ifindex };
	int error;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		error = socket_option(fd, options[i].level, options[i].name, options[i].value);
		if (error)
			return error;
	}
	if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &multicast_interface,
		       sizeof(multicast_interface)))
		return -errno;
	return socket_bind_interface(fd, ifindex);
}

int sluice_egress_open(uint32_t ifindex, uint32_t bind_be, uint16_t source_port_be)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = source_port_be,
		.sin_addr.s_addr = bind_be ? bind_be : htonl(RESERVED_GROUP),
	};
	int fd, error;

	if (ifindex == 0 || source_port_be == 0)
		return -EINVAL;
	fd = socket_open_deaf();
	if (fd < 0)
		return fd;
	error = set_options(fd, ifindex);
	if (!error && bind(fd, (struct sockaddr *)&address, sizeof(address)))
		error = -errno;
	if (!error)
		return fd;
	close(fd);
	return error;
}
