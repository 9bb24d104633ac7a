/* IFACE:ADDR:PORT as typed, and the destinations that follow from it. Uses the loopback's name only. */
#include "../tools/endpoint.h"
#include "expect.h"

#include <stdio.h>
#include <string.h>

static bool destination_is(const char *text, unsigned index, const char *expected)
{
	struct endpoint endpoint;
	char found[ADDRESS_TEXT_BYTES];

	if (endpoint_parse(text, &endpoint) != NULL)
		return false;

	const union socket_address destination = endpoint_destination(&endpoint, index);

	address_format(&destination, found);
	return strcmp(found, expected) == 0;
}

static void groups_follow_by_address_and_unicast_by_port(void)
{
	EXPECT(destination_is("lo:239.1.1.1:5001", 0, "239.1.1.1:5001"));
	EXPECT(destination_is("lo:239.1.1.1:5001", 255, "239.1.2.0:5001"));
	EXPECT(destination_is("lo:10.0.0.1:5001", 3, "10.0.0.1:5004"));
	EXPECT(destination_is("lo:[ff3e::4321]:5001", 1, "[ff3e::4322]:5001"));
	EXPECT(destination_is("lo:[2001:db8::1]:5001", 1, "[2001:db8::1]:5002"));
}

static void other_forms_are_refused_with_a_reason(void)
{
	static const char *const refused[] = {
		"",
		"lo",
		"lo:239.1.1.1",
		"239.1.1.1:5001",
		"lo:239.1.1:5001",
		"lo:239.1.1.1:",
		"lo:239.1.1.1:0",
		"lo:239.1.1.1:65536",
		"lo:239.1.1.1:+5",
		"lo:239.1.1.1:5001:1",
		"lo:ff3e::1:5001",
		"lo:[ff3e::1]",
		"lo:[ff3e::1]5001",
		"lo:[ff3e::1:5001",
		":239.1.1.1:5001",
		"slc-none:239.1.1.1:5001",
		"an-interface-name-that-is-far-too-long-for-linux-but-somebody-types-it-anyway:1.1.1.1:1",
	};
	struct endpoint endpoint;

	for (size_t index = 0; index < sizeof(refused) / sizeof(refused[0]); index++)
		if (!endpoint_parse(refused[index], &endpoint)) {
			fprintf(stderr, "%s was accepted\n", refused[index]);
			failures++;
		}
}

static void a_count_that_does_not_fit_is_refused(void)
{
	struct endpoint endpoint;

	EXPECT(!endpoint_parse("lo:239.255.255.254:1", &endpoint));
	EXPECT(!endpoint_refuse_count(&endpoint, 2));
	EXPECT(endpoint_refuse_count(&endpoint, 3));
	EXPECT(!endpoint_parse("lo:10.0.0.1:65534", &endpoint));
	EXPECT(!endpoint_refuse_count(&endpoint, 2));
	EXPECT(endpoint_refuse_count(&endpoint, 3));
}

int main(void)
{
	groups_follow_by_address_and_unicast_by_port();
	other_forms_are_refused_with_a_reason();
	a_count_that_does_not_fit_is_refused();
	return failures ? 1 : 0;
}
