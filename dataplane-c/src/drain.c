/* The drain of a unicast input: its only effect is that the kernel sends no ICMP error. */
#include "sluice.h"
#include "socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

int sluice_drain_open(uint32_t ifindex, uint32_t address_be, uint16_t port_be)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = port_be,
		.sin_addr.s_addr = address_be,
	};
	int fd, error;

	/* Any address or a port of the kernel's choice would take what is not ours. */
	if (ifindex == 0 || address_be == 0 || port_be == 0)
		return -EINVAL;
	fd = socket_open_deaf();
	if (fd < 0)
		return fd;
	error = socket_bind_interface(fd, ifindex);
	if (!error && bind(fd, (struct sockaddr *)&address, sizeof(address)))
		error = -errno;
	/*
	 * Only now: the bind above must fail beside an application that allows sharing, whose
	 * datagrams this socket would take, while egress sockets may share the port later.
	 */
	if (!error)
		error = socket_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (!error)
		return fd;
	close(fd);
	return error;
}
