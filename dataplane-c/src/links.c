/*
 * Links and their IPv4 addresses, by two rtnetlink dumps. A dump is a cursor over
 * lists that may change under it; the kernel then marks it NLM_F_DUMP_INTR and
 * something may be missing or twice: it is begun anew.
 */
#include "sluice.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Carrier as the driver has it. IFF_RUNNING follows it by up to a second: the kernel
 * collects such changes (linkwatch). In linux/if.h, which glibc's net/if.h excludes.
 */
#ifndef IFF_LOWER_UP
#define IFF_LOWER_UP (1u << 16)
#endif

/* The kernel fills at most 32 KiB unless one message alone is longer. */
#define RECEIVE_BYTES  (256u << 10)
#define DUMP_ATTEMPTS  10
/* A dump is answered by the kernel in the call: waiting this long means it will not come. */
#define DUMP_TIMEOUT_S 5

struct dump {
	int fd;
	uint32_t sequence;
	char *buffer; /* RECEIVE_BYTES, aligned by malloc for struct nlmsghdr */
	struct sluice_link *links;
	uint32_t capacity, found, written;
	uint32_t secondary_pass; /* 0: take primary addresses, 1: the others */
};

typedef void take_message(struct dump *dump, const struct nlmsghdr *message);

static int request_dump(struct dump *dump, uint16_t type, uint8_t family)
{
	/* struct ifaddrmsg and ifinfomsg both begin with the family; the rest stays zero. */
	struct {
		struct nlmsghdr header;
		struct ifinfomsg body;
	} request = {
		.header.nlmsg_len = sizeof(request),
		.header.nlmsg_type = type,
		.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		.header.nlmsg_seq = ++dump->sequence,
		.body.ifi_family = family,
	};

	return send(dump->fd, &request, sizeof(request), 0) < 0 ? -errno : 0;
}

/* 1: ended, 0: more to come, -EAGAIN: interrupted, else -errno. */
static int take_messages(struct dump *dump, size_t bytes, take_message *take, int *interrupted)
{
	const struct nlmsghdr *message = (const struct nlmsghdr *)dump->buffer;

	for (; NLMSG_OK(message, bytes); message = NLMSG_NEXT(message, bytes)) {
		/* Leftovers of an attempt that was given up. */
		if (message->nlmsg_seq != dump->sequence)
			continue;
		if (message->nlmsg_flags & NLM_F_DUMP_INTR)
			*interrupted = 1;
		/* Both carry the error first, an int; DONE may come without. */
		if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR) {
			int error = 0;

			if (message->nlmsg_len >= NLMSG_LENGTH(sizeof(error)))
				memcpy(&error, NLMSG_DATA(message), sizeof(error));
			if (error < 0)
				return error;
			if (message->nlmsg_type == NLMSG_ERROR)
				return -EPROTO;
			return *interrupted ? -EAGAIN : 1;
		}
		take(dump, message);
	}
	return 0;
}

static int run_dump(struct dump *dump, uint16_t type, uint8_t family, take_message *take)
{
	int interrupted = 0;
	int result = request_dump(dump, type, family);

	while (!result) {
		ssize_t bytes = recv(dump->fd, dump->buffer, RECEIVE_BYTES, MSG_TRUNC);

		if (bytes < 0 && errno == EAGAIN)
			result = -ETIMEDOUT;
		else if (bytes < 0)
			result = errno == EINTR ? 0 : -errno;
		else if ((size_t)bytes > RECEIVE_BYTES)
			result = -EMSGSIZE;
		else
			result = take_messages(dump, (size_t)bytes, take, &interrupted);
	}
	return result == 1 ? 0 : result;
}

static void take_link(struct dump *dump, const struct nlmsghdr *message)
{
	const struct ifinfomsg *info = NLMSG_DATA(message);
	int bytes = (int)message->nlmsg_len - (int)NLMSG_LENGTH(sizeof(*info));
	struct sluice_link link = { 0 };

	if (message->nlmsg_type != RTM_NEWLINK || bytes < 0)
		return;
	link.ifindex = (uint32_t)info->ifi_index;
	link.flags = (info->ifi_flags & IFF_UP ? SLUICE_LINK_UP : 0u) |
		     (info->ifi_flags & IFF_LOWER_UP ? SLUICE_LINK_RUNNING : 0u) |
		     (info->ifi_flags & IFF_LOOPBACK ? SLUICE_LINK_LOOPBACK : 0u);
	for (const struct rtattr *attribute = IFLA_RTA(info); RTA_OK(attribute, bytes);
	     attribute = RTA_NEXT(attribute, bytes)) {
		const void *value = RTA_DATA(attribute);
		size_t length = RTA_PAYLOAD(attribute);

		if (attribute->rta_type == IFLA_IFNAME && length <= sizeof(link.name))
			memcpy(link.name, value, length);
		else if (attribute->rta_type == IFLA_MTU && length == sizeof(link.mtu))
			memcpy(&link.mtu, value, length);
		else if (attribute->rta_type == IFLA_CARRIER_UP_COUNT &&
			 length == sizeof(link.carrier_ups))
			memcpy(&link.carrier_ups, value, length);
		else if (attribute->rta_type == IFLA_ADDRESS && length == sizeof(link.mac))
			memcpy(link.mac, value, length);
	}
	link.name[sizeof(link.name) - 1] = '\0';
	if (dump->written < dump->capacity)
		dump->links[dump->written++] = link;
	dump->found++;
}

static struct sluice_link *find_link(struct dump *dump, uint32_t ifindex)
{
	for (uint32_t i = 0; i < dump->written; i++)
		if (dump->links[i].ifindex == ifindex)
			return &dump->links[i];
	return NULL;
}

static void take_address(struct dump *dump, const struct nlmsghdr *message)
{
	const struct ifaddrmsg *info = NLMSG_DATA(message);
	int bytes = (int)message->nlmsg_len - (int)NLMSG_LENGTH(sizeof(*info));
	struct sluice_link *link;
	uint32_t secondary;

	if (message->nlmsg_type != RTM_NEWADDR || bytes < 0 || info->ifa_family != AF_INET)
		return;
	secondary = info->ifa_flags & IFA_F_SECONDARY ? 1 : 0;
	link = find_link(dump, info->ifa_index);
	if (!link || secondary != dump->secondary_pass ||
	    link->address_count == SLUICE_MAX_ADDRESSES_PER_LINK)
		return;
	for (const struct rtattr *attribute = IFA_RTA(info); RTA_OK(attribute, bytes);
	     attribute = RTA_NEXT(attribute, bytes)) {
		/* IFA_ADDRESS would be the peer's on a point-to-point link. */
		if (attribute->rta_type == IFA_LOCAL &&
		    RTA_PAYLOAD(attribute) == sizeof(uint32_t)) {
			memcpy(&link->address_be[link->address_count++], RTA_DATA(attribute),
			       sizeof(uint32_t));
			return;
		}
	}
}

static int dump_all(struct dump *dump)
{
	int error;

	dump->found = dump->written = 0;
	error = run_dump(dump, RTM_GETLINK, AF_UNSPEC, take_link);
	/* Two passes instead of a sort: hosts have few addresses, and dumps are rare. */
	for (dump->secondary_pass = 0; dump->secondary_pass < 2 && !error; dump->secondary_pass++)
		error = run_dump(dump, RTM_GETADDR, AF_INET, take_address);
	return error;
}

static int open_netlink(void)
{
	struct timeval timeout = { .tv_sec = DUMP_TIMEOUT_S };
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int error;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

int sluice_links(struct sluice_link *links, uint32_t capacity)
{
	struct dump dump = { .links = links, .capacity = capacity };
	int result = -EAGAIN;

	if (capacity && !links)
		return -EINVAL;
	dump.fd = open_netlink();
	if (dump.fd < 0)
		return dump.fd;
	dump.buffer = malloc(RECEIVE_BYTES);
	if (!dump.buffer)
		result = -ENOMEM;
	for (int attempt = 0; attempt < DUMP_ATTEMPTS && result == -EAGAIN; attempt++)
		result = dump_all(&dump);
	free(dump.buffer);
	close(dump.fd);
	return result ? result : (int)dump.found;
}

int sluice_link_driver(const char *name, char driver[SLUICE_DRIVER_NAME_BYTES])
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq request = { .ifr_data = (char *)&info };
	int fd, error = 0;

	_Static_assert(sizeof(info.driver) == SLUICE_DRIVER_NAME_BYTES, "ethtool's fits");
	if (!name || !driver)
		return -EINVAL;
	if (strlen(name) >= sizeof(request.ifr_name))
		return -ENODEV;
	memcpy(request.ifr_name, name, strlen(name));
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, SIOCETHTOOL, &request) < 0)
		error = -errno;
	close(fd);
	memset(driver, 0, SLUICE_DRIVER_NAME_BYTES);
	if (error)
		return error == -EOPNOTSUPP ? 0 : error;
	memcpy(driver, info.driver, SLUICE_DRIVER_NAME_BYTES - 1);
	return 0;
}
