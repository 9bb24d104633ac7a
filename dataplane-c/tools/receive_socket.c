#include "receive_socket.h"

#include "arguments.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <time.h>

#ifndef IPV6_MULTICAST_ALL
#define IPV6_MULTICAST_ALL 29 /* linux/in6.h, which glibc's netinet/in.h excludes */
#endif

static void set_options(int fd, const struct endpoint *in, int buffer_bytes)
{
	const bool v6 = in->first.any.sa_family == AF_INET6;
	const int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
	const int on = 1;
	const int off = 0;

	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, in->interface,
		       (socklen_t)strlen(in->interface)) < 0)
		fail(EXIT_REFUSED, "cannot bind to %s: %s", in->interface, strerror(errno));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof(buffer_bytes)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof(buffer_bytes));
	/* Of a group several programs may listen; a unicast port has one owner. */
	if (in->multicast)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	/* Otherwise groups that other sockets of this host joined would arrive here too. */
	if (setsockopt(fd, level, v6 ? IPV6_MULTICAST_ALL : IP_MULTICAST_ALL, &off, sizeof(off)) <
	    0)
		fail(EXIT_REFUSED, "cannot restrict a socket to its groups: %s", strerror(errno));
	if (setsockopt(fd, level, v6 ? IPV6_RECVHOPLIMIT : IP_RECVTTL, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, level, v6 ? IPV6_RECVTCLASS : IP_RECVTOS, &on, sizeof(on)) < 0)
		fail(EXIT_REFUSED, "cannot ask for TTL and DSCP: %s", strerror(errno));
	/* When it arrived, not when this program had its turn. */
	setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
	/* An IPv6 socket would otherwise take the IPv4 port as well. */
	if (v6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
}

static void join(int fd, const struct endpoint *in, const union socket_address *group,
		 const union socket_address *source)
{
	const int level = group->any.sa_family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
	char text[INET6_ADDRSTRLEN];
	int result = 0;

	if (source->any.sa_family == AF_UNSPEC) {
		struct group_req request = { .gr_interface = in->ifindex };

		memcpy(&request.gr_group, group, sizeof(*group));
		result = setsockopt(fd, level, MCAST_JOIN_GROUP, &request, sizeof(request));
	} else {
		struct group_source_req request = { .gsr_interface = in->ifindex };

		memcpy(&request.gsr_group, group, sizeof(*group));
		memcpy(&request.gsr_source, source, sizeof(*source));
		result = setsockopt(fd, level, MCAST_JOIN_SOURCE_GROUP, &request, sizeof(request));
	}
	if (result == 0)
		return;
	address_format_host(group, text);
	if (errno == ENOBUFS)
		fail(EXIT_REFUSED,
		     "cannot join %s: the kernel allows no more memberships: raise "
		     "net.ipv4.igmp_max_memberships or igmp_max_msf",
		     text);
	fail(EXIT_REFUSED, "cannot join %s on %s: %s", text, in->interface, strerror(errno));
}

void receive_socket_take_merged(int fd)
{
	const int on = 1;

	/* Where the kernel can't, they come one by one, which is as right. */
	setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on));
}

void receive_socket_sample(int fd, unsigned one_of)
{
	struct sock_filter random[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (__u32)(SKF_AD_OFF + SKF_AD_RANDOM)),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, one_of),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog filter = { .len = 5, .filter = random };

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) < 0)
		fail(EXIT_REFUSED, "--sample: the kernel takes no filter: %s", strerror(errno));
}

int receive_socket_open(const struct endpoint *in, const union socket_address *destination,
			const union socket_address *source, int buffer_bytes)
{
	const int fd =
		socket(destination->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char text[ADDRESS_TEXT_BYTES];

	if (fd < 0)
		fail(EXIT_REFUSED, "cannot make a socket: %s%s", strerror(errno),
		     errno == EMFILE ? ": raise the limit of open files (ulimit -n)" : "");
	set_options(fd, in, buffer_bytes);
	if (bind(fd, &destination->any, address_bytes(destination)) < 0) {
		address_format(destination, text);
		if (errno == EADDRINUSE)
			fail(EXIT_REFUSED,
			     "another program listens on %s: stop it or choose another "
			     "port",
			     text);
		if (errno == EADDRNOTAVAIL)
			fail(EXIT_REFUSED,
			     "%s is not an address of this host: choose one that "
			     "`ip addr` lists, or a group",
			     text);
		fail(EXIT_REFUSED, "cannot listen on %s: %s", text, strerror(errno));
	}
	if (in->multicast)
		join(fd, in, destination, source);
	return fd;
}

void receive_socket_read_control(struct msghdr *message, struct arrival *arrival)
{
	arrival->ttl = TALLY_NOT_SEEN;
	arrival->dscp = TALLY_NOT_SEEN;
	arrival->segment_bytes = 0;
	for (struct cmsghdr *entry = CMSG_FIRSTHDR(message); entry;
	     entry = CMSG_NXTHDR(message, entry)) {
		const bool v4 = entry->cmsg_level == IPPROTO_IP;
		const bool v6 = entry->cmsg_level == IPPROTO_IPV6;
		int value = 0;

		if (entry->cmsg_level == SOL_SOCKET && entry->cmsg_type == SCM_TIMESTAMPNS) {
			struct timespec time;

			memcpy(&time, CMSG_DATA(entry), sizeof(time));
			arrival->at_ns =
				(uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
			continue;
		}
		if (v4 && entry->cmsg_type == IP_TOS) {
			arrival->dscp = *CMSG_DATA(entry) >> 2; /* a single byte */
			continue;
		}
		memcpy(&value, CMSG_DATA(entry), sizeof(value));
		if ((v4 && entry->cmsg_type == IP_TTL) || (v6 && entry->cmsg_type == IPV6_HOPLIMIT))
			arrival->ttl = value;
		else if (entry->cmsg_level == IPPROTO_UDP && entry->cmsg_type == UDP_GRO)
			arrival->segment_bytes = (size_t)value;
		else if (v6 && entry->cmsg_type == IPV6_TCLASS)
			arrival->dscp = value >> 2;
	}
}

uint32_t receive_socket_drops(int fd)
{
	uint32_t figures[SK_MEMINFO_VARS] = { 0 };
	socklen_t bytes = sizeof(figures);

	/* Exact at any time, where SO_RXQ_OVFL tells only with the next datagram that arrives. */
	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, figures, &bytes) < 0)
		return 0;
	return figures[SK_MEMINFO_DROPS];
}
