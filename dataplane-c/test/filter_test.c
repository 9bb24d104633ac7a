/* What enters a ring, and what does not. */
#include "capture.h"
#include "expect.h"
#include "veth_pair.h"
#include "wire.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <string.h>

#define GROUP      "239.1.1.1"
#define LAST_GROUP "239.1.1.2" /* ends every probe */
#define SIZE       64u

static struct veth_pair pair;
static struct capture capture;
static struct wire_frame frame;
static int map_fd, far_wire, near_wire;

/* Sends the frame and then one that passes: true if the first came too. */
static bool passes(int wire)
{
	static uint32_t mark = 1;
	struct wire_frame last;
	struct captured captured;
	bool passed = false;

	wire_send(wire, &frame);
	wire_datagram(&last, be(LAST_GROUP), 5000, ++mark, SIZE);
	wire_send(far_wire, &last);
	for (;;) {
		if (!capture_await(&capture, &captured))
			give_up("the last frame never came");
		if (captured.bytes == last.bytes && captured_mark(&captured) == mark)
			return passed;
		passed = true;
	}
}

static void datagrams_to_addresses_in_the_map_pass(void)
{
	wire_datagram(&frame, be(GROUP), 5000, 0, SIZE);
	EXPECT(passes(far_wire));
	wire_datagram(&frame, be(NEAR_ADDRESS), 5000, 0, SIZE);
	EXPECT(passes(far_wire));
	/* A frame that is broadcast on the link is for this host too. */
	memset(frame.frame, 0xff, 6);
	EXPECT(passes(far_wire));
}

static void other_destinations_do_not(void)
{
	wire_datagram(&frame, be("239.1.1.3"), 5000, 0, SIZE);
	EXPECT(!passes(far_wire));
	/* The same group MAC as GROUP, which 32 groups share. */
	wire_datagram(&frame, be("238.1.1.1"), 5000, 0, SIZE);
	EXPECT(!passes(far_wire));
	wire_datagram(&frame, be(NEAR_SECOND_ADDRESS), 5000, 0, SIZE);
	EXPECT(!passes(far_wire));
	/* The address in the other byte order. */
	wire_datagram(&frame, be("1.1.1.239"), 5000, 0, SIZE);
	EXPECT(!passes(far_wire));
}

static void unicast_to_another_hosts_mac_does_not(void)
{
	wire_datagram(&frame, be(NEAR_ADDRESS), 5000, 0, SIZE);
	frame.frame[5] ^= 0x40;
	EXPECT(!passes(far_wire));
}

static void other_protocols_do_not(void)
{
	static const uint16_t ethertypes[] = { ETH_P_ARP, ETH_P_IPV6, ETH_P_LLDP, 0x9100, 46 };

	for (size_t i = 0; i < sizeof(ethertypes) / sizeof(ethertypes[0]); i++) {
		wire_datagram(&frame, be(GROUP), 5000, 0, SIZE);
		frame.frame[12] = (uint8_t)(ethertypes[i] >> 8);
		frame.frame[13] = (uint8_t)ethertypes[i];
		EXPECT(!passes(far_wire));
	}
}

static void what_the_worker_must_count_passes(void)
{
	/* Not UDP. */
	wire_datagram(&frame, be(GROUP), 5000, 0, SIZE);
	frame.frame[14 + 9] = 6;
	EXPECT(passes(far_wire));
	/* A later fragment, which carries no ports. */
	wire_datagram(&frame, be(GROUP), 5000, 0, SIZE);
	frame.frame[14 + 7] = 100;
	EXPECT(passes(far_wire));
	/* IP options move the ports, never the destination. */
	wire_datagram(&frame, be(GROUP), 5000, 0, SIZE);
	frame.frame[14] = 0x4f;
	EXPECT(passes(far_wire));
	/* Just long enough to have a destination. */
	wire_datagram(&frame, be(GROUP), 5000, 0, SIZE);
	frame.bytes = 34;
	EXPECT(passes(far_wire));
}

static void frames_without_a_destination_do_not(void)
{
	wire_datagram(&frame, be(GROUP), 5000, 0, SIZE);
	frame.bytes = 33;
	EXPECT(!passes(far_wire));
	frame.bytes = 14;
	EXPECT(!passes(far_wire));
	wire_add_tag(&frame, ETH_P_8021Q, 7);
	EXPECT(!passes(far_wire));
}

static void tagged(unsigned tags, uint16_t ethertype, const char *destination)
{
	wire_datagram(&frame, be(destination), 5000, 0, SIZE);
	for (unsigned i = 0; i < tags; i++)
		wire_add_tag(&frame, ethertype, (uint16_t)(100 + i));
}

static void tags_are_looked_through_up_to_three(void)
{
	static const uint16_t ethertypes[] = { ETH_P_8021Q, ETH_P_8021AD };

	for (int i = 0; i < 2; i++) {
		/* The outermost tag is taken into the metadata before the filter sees the frame. */
		for (unsigned tags = 1; tags <= 3; tags++) {
			tagged(tags, ethertypes[i], GROUP);
			EXPECT(passes(far_wire));
			tagged(tags, ethertypes[i], "239.1.1.3");
			EXPECT(!passes(far_wire));
		}
		tagged(4, ethertypes[i], GROUP);
		EXPECT(!passes(far_wire));
	}
}

static void the_outer_tag_is_in_the_metadata(void)
{
	struct captured captured;

	tagged(1, ETH_P_8021Q, GROUP);
	wire_send(far_wire, &frame);
	EXPECT(capture_await(&capture, &captured));
	EXPECT_EQUAL(captured.vlan, 100);
	EXPECT_EQUAL(captured.bytes, frame.bytes - 4);
	EXPECT(captured.frame[12] == 0x08 && captured.frame[13] == 0x00);
}

static void own_transmissions_do_not(void)
{
	wire_datagram(&frame, be(GROUP), 5000, 0, SIZE);
	EXPECT(!passes(near_wire));
	wire_datagram(&frame, be(NEAR_ADDRESS), 5000, 0, SIZE);
	EXPECT(!passes(near_wire));
}

static void the_map_changes_while_the_filter_is_locked(void)
{
	wire_datagram(&frame, be("239.1.1.9"), 5000, 0, SIZE);
	EXPECT(!passes(far_wire));
	EXPECT_EQUAL(sluice_filter_add(map_fd, be("239.1.1.9")), 0);
	EXPECT_EQUAL(sluice_filter_add(map_fd, be("239.1.1.9")), 0);
	EXPECT(passes(far_wire));
	EXPECT_EQUAL(sluice_filter_remove(map_fd, be("239.1.1.9")), 0);
	EXPECT(!passes(far_wire));
	EXPECT_EQUAL(sluice_filter_remove(map_fd, be("239.1.1.9")), -ENOENT);
}

static void a_map_holds_its_capacity_and_says_when_it_is_full(void)
{
	int small;
	int program = sluice_filter_create(2, 1, &small);

	EXPECT(program >= 0);
	EXPECT_EQUAL(sluice_filter_add(small, be("239.0.0.1")), 0);
	EXPECT_EQUAL(sluice_filter_add(small, be("239.0.0.2")), 0);
	EXPECT_EQUAL(sluice_filter_add(small, be("239.0.0.3")), -E2BIG);
	EXPECT_EQUAL(sluice_filter_create(0, 1, &small), -EINVAL);
	EXPECT_EQUAL(sluice_filter_create(2, 2, &small), -EINVAL);
	EXPECT_EQUAL(strlen(sluice_filter_log()), 0);
	sluice_close(program);
	sluice_close(small);
}

int main(void)
{
	struct sluice_ring ring;
	int program, shard;

	if (!veth_pair_possible()) {
		fputs("needs root for network namespaces\n", stderr);
		return EXIT_SKIPPED;
	}
	veth_pair_open(&pair);
	program = sluice_filter_create(16, 1, &map_fd);
	if (program < 0 || sluice_filter_add(map_fd, be(GROUP)) ||
	    sluice_filter_add(map_fd, be(LAST_GROUP)) ||
	    sluice_filter_add(map_fd, be(NEAR_ADDRESS)) ||
	    sluice_ring_plan(1500, 1 << 20, 1, &ring) ||
	    sluice_shards_open(pair.near_ifindex, 1, &ring, program, &shard))
		give_up("no shard: %s", sluice_filter_log());
	capture_open(&capture, shard, &ring);
	near_wire = wire_open(pair.near_ifindex);
	enter_far(&pair);
	far_wire = wire_open(pair.far_ifindex);
	enter_near(&pair);

	datagrams_to_addresses_in_the_map_pass();
	other_destinations_do_not();
	unicast_to_another_hosts_mac_does_not();
	other_protocols_do_not();
	what_the_worker_must_count_passes();
	frames_without_a_destination_do_not();
	tags_are_looked_through_up_to_three();
	the_outer_tag_is_in_the_metadata();
	own_transmissions_do_not();
	the_map_changes_while_the_filter_is_locked();
	a_map_holds_its_capacity_and_says_when_it_is_full();
	capture_close(&capture);
	return failures != 0;
}
