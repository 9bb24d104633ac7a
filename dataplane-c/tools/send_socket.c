#include "send_socket.h"

#include "arguments.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define SEND_BUFFER_BYTES (8 * 1024 * 1024)
#define HEADER_BYTES_V4   28 /* IPv4 and UDP */
#define HEADER_BYTES_V6   48

static void require_option(int fd, int level, int option, int value, const char *name)
{
	if (setsockopt(fd, level, option, &value, sizeof(value)) < 0)
		fail(EXIT_REFUSED, "cannot set %s: %s", name, strerror(errno));
}

static void set_family_options(int fd, const struct sender_settings *settings)
{
	const int ifindex = (int)settings->to.ifindex;

	/* Without *_RECVERR a full queue drops datagrams that the kernel has called sent. */
	if (settings->to.first.any.sa_family == AF_INET6) {
		require_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, ifindex, "IPV6_MULTICAST_IF");
		require_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0, "IPV6_MULTICAST_LOOP");
		require_option(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, settings->ttl,
			       "IPV6_MULTICAST_HOPS");
		require_option(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, settings->ttl,
			       "IPV6_UNICAST_HOPS");
		require_option(fd, IPPROTO_IPV6, IPV6_RECVERR, 1, "IPV6_RECVERR");
		return;
	}

	const struct ip_mreqn multicast = { .imr_ifindex = ifindex };

	if (setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &multicast, sizeof(multicast)) < 0)
		fail(EXIT_REFUSED, "cannot send multicast on %s: %s", settings->to.interface,
		     strerror(errno));
	require_option(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 0, "IP_MULTICAST_LOOP");
	require_option(fd, IPPROTO_IP, IP_MULTICAST_TTL, settings->ttl, "IP_MULTICAST_TTL");
	require_option(fd, IPPROTO_IP, IP_TTL, settings->ttl, "IP_TTL");
	require_option(fd, IPPROTO_IP, IP_RECVERR, 1, "IP_RECVERR");
}

static void bind_source(int fd, const struct sender_settings *settings)
{
	const bool v6 = settings->to.first.any.sa_family == AF_INET6;
	union socket_address local = settings->source;
	char text[INET6_ADDRSTRLEN];
	const int on = 1;

	if (local.any.sa_family != AF_UNSPEC) {
		/*
		 * IP_FREEBIND lets a foreign address be bound, IP_TRANSPARENT lets it be sent from; so
		 * without the privilege for the latter the former would only defer the error.
		 */
		if (setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
			       v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &on, sizeof(on)) == 0)
			setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
				   v6 ? IPV6_FREEBIND : IP_FREEBIND, &on, sizeof(on));
	}
	local.any.sa_family = settings->to.first.any.sa_family;
	if (v6)
		local.v6.sin6_port = htons(settings->source_port);
	else
		local.v4.sin_port = htons(settings->source_port);
	if (bind(fd, &local.any, address_bytes(&local)) == 0)
		return;
	const int error = errno;

	address_format_host(&local, text);
	if (error == EADDRNOTAVAIL)
		fail(EXIT_REFUSED,
		     "%s is not an address of this host: posing as another needs root", text);
	if (error == EADDRINUSE)
		fail(EXIT_REFUSED,
		     "another program has port %u of %s: choose another --source-port",
		     settings->source_port, text);
	fail(EXIT_REFUSED, "cannot send from %s: %s", text, strerror(error));
}

int send_socket_open(const struct sender_settings *settings)
{
	const int fd = socket(settings->to.first.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const int buffer_bytes = SEND_BUFFER_BYTES;

	if (fd < 0)
		fail(EXIT_REFUSED, "cannot make a socket: %s", strerror(errno));
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, settings->to.interface,
		       (socklen_t)strlen(settings->to.interface)) < 0)
		fail(EXIT_REFUSED, "cannot bind to %s: %s", settings->to.interface,
		     strerror(errno));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer_bytes, sizeof(buffer_bytes)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(buffer_bytes));
	set_family_options(fd, settings);
	bind_source(fd, settings);
	return fd;
}

bool send_socket_segment(int fd, const struct sender_settings *settings)
{
	const bool v6 = settings->to.first.any.sa_family == AF_INET6;
	const size_t header_bytes = v6 ? HEADER_BYTES_V6 : HEADER_BYTES_V4;
	const int segment_bytes = (int)settings->payload_bytes;
	struct ifreq request = { 0 };

	memcpy(request.ifr_name, settings->to.interface, sizeof(request.ifr_name));
	if (ioctl(fd, SIOCGIFMTU, &request) < 0 || request.ifr_mtu < 0 ||
	    header_bytes + settings->payload_bytes > (size_t)request.ifr_mtu)
		return false;
	return setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment_bytes, sizeof(segment_bytes)) == 0;
}

void send_socket_unsegment(int fd)
{
	const int off = 0;

	setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &off, sizeof(off));
}

unsigned send_socket_drain_errors(int fd)
{
	char control[256];
	char payload[1];
	unsigned drained = 0;

	for (;;) {
		struct iovec returned = { .iov_base = payload, .iov_len = sizeof(payload) };
		struct msghdr message = {
			.msg_iov = &returned,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};

		if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			return drained;
		drained++;
	}
}
