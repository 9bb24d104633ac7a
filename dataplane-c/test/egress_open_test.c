/* How datagrams leave, and what an egress socket takes from applications on its port. */
#include "datagram.h"
#include "expect.h"
#include "sluice.h"
#include "veth_pair.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#define GROUP TEST_GROUP
#define PORT  TEST_PORT
#define TTL   9
#define TOS   (46 << 2)

static struct veth_pair pair;

static void add_control(struct msghdr *message, int type, const void *value, size_t bytes)
{
	struct cmsghdr *item =
		(struct cmsghdr *)(void *)((char *)message->msg_control + message->msg_controllen);

	item->cmsg_level = IPPROTO_IP;
	item->cmsg_type = type;
	item->cmsg_len = CMSG_LEN(bytes);
	memcpy(CMSG_DATA(item), value, bytes);
	message->msg_controllen += CMSG_SPACE(bytes);
}

/* As workers send: source address, TTL and TOS as control messages. */
static ssize_t send_out(int egress, const char *source, const char *destination, size_t bytes)
{
	static char payload[65507];
	_Alignas(struct cmsghdr) char control[256] = { 0 };
	const struct in_pktinfo info = { .ipi_spec_dst.s_addr = be(source) };
	const int ttl = TTL, tos = TOS;
	struct sockaddr_in to = endpoint(destination, PORT);
	struct iovec part = { .iov_base = payload, .iov_len = bytes };
	struct msghdr message = {
		.msg_name = &to,
		.msg_namelen = sizeof(to),
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
	};

	add_control(&message, IP_PKTINFO, &info, sizeof(info));
	add_control(&message, IP_TTL, &ttl, sizeof(ttl));
	add_control(&message, IP_TOS, &tos, sizeof(tos));
	return sendmsg(egress, &message, 0);
}

static int far_receiver(const char *address, const char *group)
{
	int fd;

	enter_far(&pair);
	fd = receiver(address, PORT, group, pair.far_ifindex, true);
	enter_near(&pair);
	return fd;
}

static int multicast_egress(void)
{
	int fd = sluice_egress_open(pair.near_ifindex, 0, htons(PORT));

	if (fd < 0)
		give_up("egress: %s", strerror(-fd));
	return fd;
}

static void expect_arrival(int fd, const char *source, size_t bytes)
{
	struct arrival arrival = receive(fd);

	EXPECT_EQUAL(arrival.bytes, bytes);
	EXPECT_EQUAL(ntohs(arrival.from.sin_port), PORT);
	EXPECT_EQUAL(arrival.from.sin_addr.s_addr, be(source));
	EXPECT_EQUAL(arrival.ttl, TTL);
	EXPECT_EQUAL(arrival.tos, TOS);
}

static void multicast_leaves_with_the_asked_source_address_port_ttl_and_tos(void)
{
	const int egress = multicast_egress(), far = far_receiver("0.0.0.0", GROUP);

	EXPECT_EQUAL(send_out(egress, NEAR_ADDRESS, GROUP, 100), 100);
	expect_arrival(far, NEAR_ADDRESS, 100);
	EXPECT_EQUAL(send_out(egress, NEAR_SECOND_ADDRESS, GROUP, 100), 100);
	expect_arrival(far, NEAR_SECOND_ADDRESS, 100);
	sluice_close(egress);
	sluice_close(far);
}

static void unicast_does_too_from_either_binding(void)
{
	const int far = far_receiver("0.0.0.0", NULL);
	const uint32_t bindings[] = { 0, be(NEAR_ADDRESS) };

	for (int i = 0; i < 2; i++) {
		const int egress = sluice_egress_open(pair.near_ifindex, bindings[i], htons(PORT));

		EXPECT(egress >= 0);
		EXPECT_EQUAL(send_out(egress, NEAR_ADDRESS, FAR_ADDRESS, 100), 100);
		expect_arrival(far, NEAR_ADDRESS, 100);
		sluice_close(egress);
	}
	sluice_close(far);
}

static void a_datagram_over_the_mtu_is_fragmented(void)
{
	const int egress = multicast_egress(), far = far_receiver("0.0.0.0", GROUP);

	EXPECT_EQUAL(send_out(egress, NEAR_ADDRESS, GROUP, 1473), 1473);
	expect_arrival(far, NEAR_ADDRESS, 1473);
	EXPECT_EQUAL(send_out(egress, NEAR_ADDRESS, GROUP, 20000), 20000);
	expect_arrival(far, NEAR_ADDRESS, 20000);
	sluice_close(egress);
	sluice_close(far);
}

static void it_leaves_by_its_interface_whatever_the_routes_say(void)
{
	const int egress = multicast_egress();

	/* No route leads there: without the interface this is ENETUNREACH. */
	EXPECT_EQUAL(send_out(egress, NEAR_ADDRESS, "10.200.0.1", 10), 10);
	sluice_close(egress);
}

static void its_options_are_those_of_the_manual(void)
{
	const int egress = multicast_egress();

	/* The kernel doubles what was asked. */
	EXPECT_EQUAL(option(egress, SOL_SOCKET, SO_SNDBUF), 16 << 20);
	/* No DF bit: routers behind us may fragment too. */
	EXPECT_EQUAL(option(egress, IPPROTO_IP, IP_MTU_DISCOVER), IP_PMTUDISC_DONT);
	EXPECT_EQUAL(option(egress, SOL_SOCKET, SO_BINDTOIFINDEX), pair.near_ifindex);
	sluice_close(egress);
}

static void receivers_on_this_host_do_not_hear_it(void)
{
	const int egress = multicast_egress();
	const int near = receiver(GROUP, PORT, GROUP, pair.near_ifindex, true);
	const int far = far_receiver("0.0.0.0", GROUP);

	EXPECT_EQUAL(send_out(egress, NEAR_ADDRESS, GROUP, 100), 100);
	expect_arrival(far, NEAR_ADDRESS, 100);
	/* What comes from outside comes first. */
	send_to_near(&pair);
	EXPECT_EQUAL(receive(near).bytes, 2);
	sluice_close(far);
	sluice_close(near);
	sluice_close(egress);
}

static void workers_share_a_port(void)
{
	const int first = multicast_egress(), second = multicast_egress();
	const int third = sluice_egress_open(pair.near_ifindex, be(NEAR_ADDRESS), htons(PORT));
	const int fourth = sluice_egress_open(pair.near_ifindex, be(NEAR_ADDRESS), htons(PORT));

	EXPECT(third >= 0 && fourth >= 0);
	sluice_close(first);
	sluice_close(second);
	sluice_close(third);
	sluice_close(fourth);
}

static void multicast_egress_takes_nothing_from_an_application_on_its_port(void)
{
	const int egress = multicast_egress();
	const int application = receiver("0.0.0.0", PORT, GROUP, pair.near_ifindex, true);

	EXPECT(application >= 0);
	send_to_near(&pair);
	EXPECT_EQUAL(receive(application).bytes, 1);
	EXPECT_EQUAL(receive(application).bytes, 2);
	EXPECT(is_empty(application));
	EXPECT(is_empty(egress));
	sluice_close(application);
	sluice_close(egress);
}

/* An application that wants the port of every address for itself can't be had beside ours. */
static void an_unshared_application_and_an_egress_exclude_each_other(void)
{
	int egress = multicast_egress();
	int application = receiver("0.0.0.0", PORT, NULL, 0, false);

	EXPECT(application < 0);
	/* On an address of its own it can. */
	application = receiver(NEAR_ADDRESS, PORT, NULL, 0, false);
	EXPECT(application >= 0);
	sluice_close(application);
	sluice_close(egress);

	application = receiver("0.0.0.0", PORT, NULL, 0, false);
	EXPECT(application >= 0);
	EXPECT_EQUAL(sluice_egress_open(pair.near_ifindex, 0, htons(PORT)), -EADDRINUSE);
	sluice_close(application);
}

static void nobody_who_holds_it_can_receive_with_it(void)
{
	struct sock_filter all[] = { BPF_STMT(BPF_RET | BPF_K, 0xffffffff) };
	struct sock_fprog everything = { .len = 1, .filter = all };
	const int egress = sluice_egress_open(pair.near_ifindex, be(NEAR_ADDRESS), htons(PORT));
	const int witness = receiver(GROUP, PORT, GROUP, pair.near_ifindex, true);

	EXPECT(setsockopt(egress, SOL_SOCKET, SO_ATTACH_FILTER, &everything, sizeof(everything)) &&
	       errno == EPERM);
	send_to_near(&pair);
	EXPECT_EQUAL(receive(witness).bytes, 2);
	EXPECT(is_empty(egress));
	sluice_close(witness);
	sluice_close(egress);
}

/*
 * The price of ICMP errors: what a shared application on the same address and port would
 * have got ends here. With the multicast binding it would not.
 */
static void unicast_egress_takes_unicast_on_its_address_and_port(void)
{
	const int egress = sluice_egress_open(pair.near_ifindex, be(NEAR_ADDRESS), htons(PORT));
	const int application = receiver("0.0.0.0", PORT, GROUP, pair.near_ifindex, true);

	send_to_near(&pair);
	EXPECT_EQUAL(receive(application).bytes, 2);
	EXPECT(is_empty(application));
	sluice_close(application);
	sluice_close(egress);
}

static void icmp_errors_reach_the_queue_of_a_unicast_egress(void)
{
	const int egress = sluice_egress_open(pair.near_ifindex, be(NEAR_ADDRESS), htons(PORT));
	struct pollfd wait = { .fd = egress };
	char bytes[512];
	struct msghdr message = { .msg_control = bytes, .msg_controllen = sizeof(bytes) };

	/* Nobody listens at the far end. */
	EXPECT_EQUAL(send_out(egress, NEAR_ADDRESS, FAR_ADDRESS, 10), 10);
	EXPECT_EQUAL(poll(&wait, 1, 10000), 1);
	EXPECT(wait.revents & POLLERR);
	EXPECT(recvmsg(egress, &message, MSG_ERRQUEUE) >= 0);
	sluice_close(egress);
}

static void bad_arguments_are_refused(void)
{
	const unsigned before = count_descriptors();

	EXPECT_EQUAL(sluice_egress_open(0, 0, htons(PORT)), -EINVAL);
	EXPECT_EQUAL(sluice_egress_open(pair.near_ifindex, 0, 0), -EINVAL);
	EXPECT(sluice_egress_open(9999, 0, htons(PORT)) < 0);
	EXPECT_EQUAL(sluice_egress_open(pair.near_ifindex, be("10.99.0.1"), htons(PORT)),
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
	multicast_leaves_with_the_asked_source_address_port_ttl_and_tos();
	unicast_does_too_from_either_binding();
	a_datagram_over_the_mtu_is_fragmented();
	it_leaves_by_its_interface_whatever_the_routes_say();
	its_options_are_those_of_the_manual();
	receivers_on_this_host_do_not_hear_it();
	workers_share_a_port();
	multicast_egress_takes_nothing_from_an_application_on_its_port();
	an_unshared_application_and_an_egress_exclude_each_other();
	nobody_who_holds_it_can_receive_with_it();
	unicast_egress_takes_unicast_on_its_address_and_port();
	icmp_errors_reach_the_queue_of_a_unicast_egress();
	bad_arguments_are_refused();
	return failures != 0;
}
