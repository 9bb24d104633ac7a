/* What a unicast input's drain silences, and that it takes nothing from anybody. */
#include "datagram.h"
#include "expect.h"
#include "sluice.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define PORT TEST_PORT

static struct veth_pair pair;

static int probe(uint16_t port)
{
	struct sockaddr_in near = endpoint(NEAR_ADDRESS, port);
	int fd;

	enter_far(&pair);
	fd = open_udp();
	enter_near(&pair);
	EXPECT(connect(fd, (struct sockaddr *)&near, sizeof(near)) == 0);
	EXPECT_EQUAL(send(fd, "x", 1, 0), 1);
	return fd;
}

/* Whether the near end answers with "port unreachable"; a second probe of a free port bounds the wait. */
static bool is_refused(void)
{
	const int asked = probe(PORT), known = probe(PORT + 1);
	struct pollfd wait = { .fd = known, .events = POLLIN };
	bool refused;
	char byte;

	EXPECT_EQUAL(poll(&wait, 1, 10000), 1);
	refused = recv(asked, &byte, 1, MSG_DONTWAIT) < 0 && errno == ECONNREFUSED;
	sluice_close(asked);
	sluice_close(known);
	return refused;
}

/* The kernel answers a host only a few times a second unless told otherwise. */
static void answer_always(void)
{
	FILE *file = fopen("/proc/sys/net/ipv4/icmp_ratelimit", "we");

	if (!file || fputs("0", file) < 0 || fclose(file))
		give_up("icmp_ratelimit: %s", strerror(errno));
}

static void a_drain_silences_port_unreachable(void)
{
	int drain;

	EXPECT(is_refused());
	drain = sluice_drain_open(pair.near_ifindex, be(NEAR_ADDRESS), htons(PORT));
	EXPECT(drain >= 0);
	EXPECT_EQUAL(option(drain, SOL_SOCKET, SO_BINDTOIFINDEX), pair.near_ifindex);
	EXPECT(!is_refused());
	EXPECT(is_empty(drain));
	sluice_close(drain);
	EXPECT(is_refused());
}

static void a_drain_makes_room_for_an_egress_and_not_for_itself_beside_an_application(void)
{
	int drain = sluice_drain_open(pair.near_ifindex, be(NEAR_ADDRESS), htons(PORT));
	int egress = sluice_egress_open(pair.near_ifindex, be(NEAR_ADDRESS), htons(PORT));
	int application;

	EXPECT(drain >= 0 && egress >= 0);
	sluice_close(drain);
	EXPECT_EQUAL(sluice_drain_open(pair.near_ifindex, be(NEAR_ADDRESS), htons(PORT)),
		     -EADDRINUSE);
	sluice_close(egress);

	application = receiver("0.0.0.0", PORT, NULL, 0, true);
	EXPECT_EQUAL(sluice_drain_open(pair.near_ifindex, be(NEAR_ADDRESS), htons(PORT)),
		     -EADDRINUSE);
	send_to_near(&pair);
	EXPECT_EQUAL(receive(application).bytes, 1);
	sluice_close(application);
}

static void bad_arguments_are_refused(void)
{
	const unsigned before = count_descriptors();

	EXPECT_EQUAL(sluice_drain_open(0, be(NEAR_ADDRESS), htons(PORT)), -EINVAL);
	EXPECT_EQUAL(sluice_drain_open(pair.near_ifindex, 0, htons(PORT)), -EINVAL);
	EXPECT_EQUAL(sluice_drain_open(pair.near_ifindex, be(NEAR_ADDRESS), 0), -EINVAL);
	EXPECT_EQUAL(sluice_drain_open(pair.near_ifindex, be("10.99.0.1"), htons(PORT)),
		     -EADDRNOTAVAIL);
	EXPECT_EQUAL(count_descriptors(), before);
}

int main(void)
{
	if (!veth_pair_possible()) {
		fputs("needs root for network namespaces\n", stderr);
		return EXIT_SKIPPED;
	}
	veth_pair_open(&pair);
	answer_always();
	a_drain_silences_port_unreachable();
	a_drain_makes_room_for_an_egress_and_not_for_itself_beside_an_application();
	bad_arguments_are_refused();
	return failures != 0;
}
