/* What this kernel can do, found out by trying it. */
#include "sluice.h"
#include "socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#define LOOPBACK_IFINDEX 1 /* in every network namespace */

static int at_least(const struct sluice_features *features, uint32_t major, uint32_t minor)
{
	return features->kernel_major > major ||
	       (features->kernel_major == major && features->kernel_minor >= minor);
}

static int try_unique_fanout(const struct sluice_features *features)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = LOOPBACK_IFINDEX,
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	int pending = 0;
	socklen_t length = sizeof(pending);
	int works = 0;

	if (fd < 0)
		return 0;
	if (socket_drop_all(fd) || bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    getsockopt(fd, SOL_SOCKET, SO_ERROR, &pending, &length))
		works = 0;
	else if (pending) /* the loopback is down: not to be tried; in since 4.12 */
		works = at_least(features, 4, 12);
	else
		works = !socket_option(fd, SOL_PACKET, PACKET_FANOUT,
				       (PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_UNIQUEID) << 16);
	close(fd);
	return works;
}

static int try_udp_segment(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int works;

	if (fd < 0)
		return 0;
	works = !socket_option(fd, IPPROTO_UDP, UDP_SEGMENT, 1400);
	close(fd);
	return works;
}

static int try_ebpf_filter(void)
{
	int map_fd = -1;
	int program_fd = sluice_filter_create(1, 0, &map_fd);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int works = program_fd >= 0 && fd >= 0 &&
		    !socket_option(fd, SOL_SOCKET, SO_ATTACH_BPF, program_fd);

	if (fd >= 0)
		close(fd);
	if (program_fd >= 0) {
		close(program_fd);
		close(map_fd);
	}
	return works;
}

int sluice_probe(struct sluice_features *features)
{
	struct utsname name;

	if (!features)
		return -EINVAL;
	memset(features, 0, sizeof(*features));
	if (uname(&name))
		return -errno;
	/* NOLINTNEXTLINE(cert-err34-c): the kernel wrote this text, and a misfit leaves 0.0 */
	if (sscanf(name.release, "%u.%u", &features->kernel_major, &features->kernel_minor) != 2)
		return -EPROTO;
	features->unique_fanout = (uint8_t)try_unique_fanout(features);
	features->udp_segment = (uint8_t)try_udp_segment();
	/* Not to be tried without traffic. */
	features->vnet_udp = (uint8_t)at_least(features, 6, 2);
	features->ebpf_filter = (uint8_t)try_ebpf_filter();
	return 0;
}
