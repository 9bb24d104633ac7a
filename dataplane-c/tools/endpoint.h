/* An interface and the destinations on it: IFACE:ADDR:PORT as typed, IPv6 addresses in brackets. */
#ifndef SLUICE_TOOLS_ENDPOINT_H
#define SLUICE_TOOLS_ENDPOINT_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define ENDPOINT_COUNT_MAX 4096u /* destinations one tool serves */
#define ADDRESS_TEXT_BYTES (INET6_ADDRSTRLEN + sizeof("[]:65535"))

union socket_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

struct endpoint {
	char interface[IF_NAMESIZE];
	unsigned ifindex;
	bool multicast;
	union socket_address first; /* destination 0 */
};

/*
 * Parses text and looks the interface up in this network namespace. Returns NULL, or a constant text
 * that says what is wrong and what to do.
 */
const char *endpoint_parse(const char *text, struct endpoint *endpoint);

/* NULL if count destinations follow one another from the first, otherwise why not. */
const char *endpoint_refuse_count(const struct endpoint *endpoint, unsigned count);

/*
 * Destination number index: of a group the next addresses on the same port, of a unicast address the
 * next ports.
 */
union socket_address endpoint_destination(const struct endpoint *endpoint, unsigned index);

/* An IPv4 or IPv6 address without port; false if text is neither. */
bool address_parse(const char *text, union socket_address *address);

socklen_t address_bytes(const union socket_address *address);

/* "239.1.1.1:5001" or "[ff3e::4321]:5001". */
void address_format(const union socket_address *address, char text[ADDRESS_TEXT_BYTES]);

/* The same without port and brackets. */
void address_format_host(const union socket_address *address, char text[INET6_ADDRSTRLEN]);

/* Port in host order. */
uint16_t address_port(const union socket_address *address);

#endif
