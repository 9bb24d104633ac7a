#include "endpoint.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORM_WANTED "write IFACE:ADDR:PORT, an IPv6 address in brackets"

bool address_parse(const char *text, union socket_address *address)
{
	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, text, &address->v4.sin_addr) == 1) {
		address->v4.sin_family = AF_INET;
		return true;
	}
	if (inet_pton(AF_INET6, text, &address->v6.sin6_addr) == 1) {
		address->v6.sin6_family = AF_INET6;
		return true;
	}
	return false;
}

socklen_t address_bytes(const union socket_address *address)
{
	return address->any.sa_family == AF_INET6 ? sizeof(address->v6) : sizeof(address->v4);
}

void address_format_host(const union socket_address *address, char text[INET6_ADDRSTRLEN])
{
	if (address->any.sa_family == AF_INET6)
		inet_ntop(AF_INET6, &address->v6.sin6_addr, text, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET, &address->v4.sin_addr, text, INET6_ADDRSTRLEN);
}

uint16_t address_port(const union socket_address *address)
{
	return ntohs(address->any.sa_family == AF_INET6 ? address->v6.sin6_port
							: address->v4.sin_port);
}

void address_format(const union socket_address *address, char text[ADDRESS_TEXT_BYTES])
{
	const bool v6 = address->any.sa_family == AF_INET6;
	char host[INET6_ADDRSTRLEN];

	address_format_host(address, host);
	snprintf(text, ADDRESS_TEXT_BYTES, v6 ? "[%s]:%u" : "%s:%u", host, address_port(address));
}

static void set_port(union socket_address *address, uint16_t port)
{
	if (address->any.sa_family == AF_INET6)
		address->v6.sin6_port = htons(port);
	else
		address->v4.sin_port = htons(port);
}

static bool is_multicast(const union socket_address *address)
{
	if (address->any.sa_family == AF_INET6)
		return IN6_IS_ADDR_MULTICAST(&address->v6.sin6_addr);
	return IN_MULTICAST(ntohl(address->v4.sin_addr.s_addr));
}

/* Splits a writable copy of the text into its three parts; false if it has another form. */
static bool split(char *text, char **interface, char **address, char **port)
{
	char *colon = strchr(text, ':');

	if (!colon)
		return false;
	*colon = 0;
	*interface = text;
	*address = colon + 1;
	if (**address == '[') {
		char *bracket = strchr(++*address, ']');

		if (!bracket || bracket[1] != ':')
			return false;
		*bracket = 0;
		*port = bracket + 2;
		return true;
	}
	colon = strchr(*address, ':');
	if (!colon)
		return false;
	*colon = 0;
	*port = colon + 1;
	return strchr(*port, ':') == NULL;
}

static bool parse_port(const char *text, uint16_t *port)
{
	char *end = NULL;
	const unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value < 1 || value > UINT16_MAX)
		return false;
	*port = (uint16_t)value;
	return true;
}

const char *endpoint_parse(const char *text, struct endpoint *endpoint)
{
	char copy[IF_NAMESIZE + ADDRESS_TEXT_BYTES];
	char *interface = NULL;
	char *address = NULL;
	char *port_text = NULL;
	uint16_t port = 0;

	memset(endpoint, 0, sizeof(*endpoint));
	if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy) ||
	    !split(copy, &interface, &address, &port_text))
		return "not an endpoint: " FORM_WANTED;
	if (!address_parse(address, &endpoint->first))
		return "no such address: " FORM_WANTED;
	if (!parse_port(port_text, &port))
		return "no such port: give one from 1 to 65535";
	endpoint->ifindex = if_nametoindex(interface);
	if (!endpoint->ifindex)
		return "no such interface here: choose one that `ip link` lists";
	snprintf(endpoint->interface, sizeof(endpoint->interface), "%.*s", IF_NAMESIZE - 1,
		 interface);
	set_port(&endpoint->first, port);
	endpoint->multicast = is_multicast(&endpoint->first);
	if (endpoint->first.any.sa_family == AF_INET6)
		endpoint->first.v6.sin6_scope_id = endpoint->ifindex;
	return NULL;
}

const char *endpoint_refuse_count(const struct endpoint *endpoint, unsigned count)
{
	const union socket_address last = endpoint_destination(endpoint, count - 1);

	if (endpoint->multicast && !is_multicast(&last))
		return "the last stream would leave the multicast addresses: begin at a lower one";
	if (!endpoint->multicast && address_port(&endpoint->first) + count - 1 > UINT16_MAX)
		return "the last stream would need a port above 65535: begin at a lower one";
	return NULL;
}

union socket_address endpoint_destination(const struct endpoint *endpoint, unsigned index)
{
	union socket_address destination = endpoint->first;

	if (!endpoint->multicast) {
		set_port(&destination, (uint16_t)(address_port(&endpoint->first) + index));
	} else if (destination.any.sa_family == AF_INET6) {
		/* The group id is the last 32 bits (RFC 3307); prefix and scope stay as they are. */
		uint32_t *group_be = &destination.v6.sin6_addr.s6_addr32[3];

		*group_be = htonl(ntohl(*group_be) + index);
	} else {
		struct in_addr *group = &destination.v4.sin_addr;

		group->s_addr = htonl(ntohl(group->s_addr) + index);
	}
	return destination;
}
