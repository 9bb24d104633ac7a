/* Groups are joined on the right interface alone, in pools of sockets, and left. */
#include "expect.h"
#include "sluice.h"
#include "veth_pair.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define POOL        10u
#define PER_SOCKET  20u
#define GROUPS      (POOL * PER_SOCKET)
#define FIRST_GROUP 0xef020000u /* 239.2.0.0 */

#define OTHER_IFINDEX 500u

static struct veth_pair pair;

static uint32_t group(uint32_t number)
{
	return htonl(FIRST_GROUP + number);
}

/* How many of our groups /proc/net/igmp shows, on near0 and elsewhere. */
static void count_joined(uint32_t *on_near, uint32_t *elsewhere)
{
	FILE *file = fopen("/proc/thread-self/net/igmp", "re");
	char line[256];
	bool near = false;

	*on_near = *elsewhere = 0;
	if (!file)
		give_up("igmp: %s", strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		char *hex = line + strspn(line, "\t ");
		/* The bytes of the address as one number of this machine. */
		uint32_t joined = ntohl((uint32_t)strtoul(hex, NULL, 16));

		if (hex == line)
			near = strstr(line, "near0") != NULL;
		else if (joined >= FIRST_GROUP && joined < FIRST_GROUP + 0x10000)
			(*(near ? on_near : elsewhere))++;
	}
	fclose(file);
}

static void expect_joined(uint32_t expected)
{
	uint32_t on_near, elsewhere;

	count_joined(&on_near, &elsewhere);
	EXPECT_EQUAL(on_near, expected);
	EXPECT_EQUAL(elsewhere, 0);
}

static void two_hundred_groups_over_ten_sockets(void)
{
	int fds[POOL];

	for (uint32_t i = 0; i < POOL; i++) {
		fds[i] = sluice_membership_open();
		EXPECT(fds[i] >= 0);
		for (uint32_t k = 0; k < PER_SOCKET; k++)
			EXPECT_EQUAL(sluice_membership_join(fds[i], pair.near_ifindex,
							    group(i * PER_SOCKET + k), 0),
				     0);
	}
	expect_joined(GROUPS);
	EXPECT_EQUAL(sluice_membership_join(fds[0], pair.near_ifindex, group(GROUPS), 0), -ENOBUFS);
	EXPECT_EQUAL(sluice_membership_join(fds[0], pair.near_ifindex, group(0), 0), -EADDRINUSE);

	EXPECT_EQUAL(sluice_membership_leave(fds[0], pair.near_ifindex, group(0), 0), 0);
	EXPECT_EQUAL(sluice_membership_leave(fds[0], pair.near_ifindex, group(0), 0),
		     -EADDRNOTAVAIL);
	expect_joined(GROUPS - 1);
	EXPECT_EQUAL(sluice_membership_join(fds[0], pair.near_ifindex, group(GROUPS), 0), 0);
	expect_joined(GROUPS);
	for (uint32_t i = 0; i < POOL; i++)
		sluice_close(fds[i]);
	expect_joined(0);
}

/* Lines of /proc/net/mcfilter that name near0, this group and this source. */
static uint32_t count_sources(uint32_t group_be, const char *source)
{
	FILE *file = fopen("/proc/thread-self/net/mcfilter", "re");
	char line[256], expected[64];
	uint32_t count = 0;

	if (!file)
		give_up("mcfilter: %s", strerror(errno));
	(void)snprintf(expected, sizeof(expected), "0x%08x 0x%08x", ntohl(group_be),
		       ntohl(be(source)));
	while (fgets(line, sizeof(line), file))
		count += strstr(line, "near0") && strstr(line, expected);
	fclose(file);
	return count;
}

static void sources_of_a_group_are_joined_one_by_one(void)
{
	const int fd = sluice_membership_open();
	const uint32_t near = pair.near_ifindex;

	EXPECT_EQUAL(sluice_membership_join(fd, near, group(1), be("10.1.0.1")), 0);
	EXPECT_EQUAL(sluice_membership_join(fd, near, group(1), be("10.1.0.2")), 0);
	EXPECT_EQUAL(count_sources(group(1), "10.1.0.1"), 1);
	EXPECT_EQUAL(count_sources(group(1), "10.1.0.2"), 1);
	expect_joined(1);
	EXPECT_EQUAL(sluice_membership_leave(fd, near, group(1), be("10.1.0.1")), 0);
	EXPECT_EQUAL(count_sources(group(1), "10.1.0.1"), 0);
	EXPECT_EQUAL(count_sources(group(1), "10.1.0.2"), 1);
	EXPECT_EQUAL(sluice_membership_leave(fd, near, group(1), be("10.1.0.2")), 0);
	expect_joined(0);
	sluice_close(fd);
}

static void add_other_link(void)
{
	ip("link add other0 index %u type veth peer name other1", OTHER_IFINDEX);
	ip("link set other0 up");
}

static uint32_t joined_elsewhere(void)
{
	uint32_t on_near, elsewhere;

	count_joined(&on_near, &elsewhere);
	return elsewhere;
}

static void what_is_left_without_its_link_is_not_left_on_another_of_its_index(void)
{
	const int old = sluice_membership_open(), fresh = sluice_membership_open();
	const uint32_t sources[] = { be("10.1.0.1"), be("10.1.0.2") };

	add_other_link();
	EXPECT_EQUAL(sluice_membership_join(old, OTHER_IFINDEX, group(1), sources[0]), 0);
	EXPECT_EQUAL(sluice_membership_join(old, OTHER_IFINDEX, group(1), sources[1]), 0);
	EXPECT_EQUAL(joined_elsewhere(), 1);
	ip("link del other0");
	EXPECT_EQUAL(sluice_membership_leave(old, OTHER_IFINDEX, group(1), sources[0]), 0);
	EXPECT_EQUAL(sluice_membership_leave(old, OTHER_IFINDEX, group(1), sources[1]),
		     -EADDRNOTAVAIL);
	add_other_link();
	EXPECT_EQUAL(sluice_membership_join(fresh, OTHER_IFINDEX, group(1), sources[0]), 0);
	sluice_close(old);
	EXPECT_EQUAL(joined_elsewhere(), 1);
	sluice_close(fresh);
	EXPECT_EQUAL(joined_elsewhere(), 0);
	ip("link del other0");
}

static void sources_beyond_igmp_max_msf_say_so(void)
{
	const int fd = sluice_membership_open();
	int error = 0;
	uint32_t joined = 0;

	for (; !error && joined < 1000; joined += !error)
		error = sluice_membership_join(fd, pair.near_ifindex, group(1),
					       htonl(0x0a010000u + joined));
	EXPECT_EQUAL(error, -ENOBUFS);
	EXPECT_EQUAL(joined, 10); /* net.ipv4.igmp_max_msf of a new namespace */
	sluice_close(fd);
}

static void nothing_is_queued_on_a_join_socket(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = group(3) };
	struct sockaddr_in bound = { 0 };
	socklen_t length = sizeof(bound);
	const int fd = sluice_membership_open();
	int all = 1;
	socklen_t all_length = sizeof(all);
	const int sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ip_mreqn loopback = { .imr_ifindex = (int)pair.near_ifindex };
	char byte;

	EXPECT_EQUAL(sluice_membership_join(fd, pair.near_ifindex, group(3), 0), 0);
	EXPECT(getsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &all, &all_length) == 0 && all == 0);
	/* Unbound: there is no port that a datagram could be for. */
	EXPECT(getsockname(fd, (struct sockaddr *)&bound, &length) == 0 && bound.sin_port == 0);
	/* And bound by whoever holds it, its filter still drops. */
	bound.sin_family = AF_INET;
	EXPECT(bind(fd, (struct sockaddr *)&bound, sizeof(bound)) == 0);
	EXPECT(getsockname(fd, (struct sockaddr *)&bound, &length) == 0);
	to.sin_port = bound.sin_port;
	EXPECT(setsockopt(sender, IPPROTO_IP, IP_MULTICAST_IF, &loopback, sizeof(loopback)) == 0);
	EXPECT_EQUAL(sendto(sender, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
	EXPECT(recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
	sluice_close(sender);
	sluice_close(fd);
}

static void what_is_no_group_or_interface_is_refused(void)
{
	const int fd = sluice_membership_open();

	EXPECT_EQUAL(sluice_membership_join(fd, 0, group(1), 0), -EINVAL);
	EXPECT_EQUAL(sluice_membership_leave(fd, 0, group(1), 0), -EINVAL);
	EXPECT_EQUAL(sluice_membership_join(fd, 9999, group(1), 0), -ENODEV);
	EXPECT_EQUAL(sluice_membership_join(fd, pair.near_ifindex, be(FAR_ADDRESS), 0), -EINVAL);
	EXPECT_EQUAL(sluice_membership_join(-1, pair.near_ifindex, group(1), 0), -EBADF);
	sluice_close(fd);
}

int main(void)
{
	if (!veth_pair_possible()) {
		fputs("needs root for network namespaces\n", stderr);
		return EXIT_SKIPPED;
	}
	veth_pair_open(&pair);
	two_hundred_groups_over_ten_sockets();
	sources_of_a_group_are_joined_one_by_one();
	what_is_left_without_its_link_is_not_left_on_another_of_its_index();
	sources_beyond_igmp_max_msf_say_so();
	nothing_is_queued_on_a_join_socket();
	what_is_no_group_or_interface_is_refused();
	return failures != 0;
}
