/*
 * Super-packets in, UDP_SEGMENT out, and what happens where the kernel refuses it.
 */
#include "expect.h"
#include "relay_fixture.h"

#include <string.h>
#include <sys/socket.h>

static uint64_t fallbacks(void)
{
	return rig_counter(&rig, SLUICE_WORKER_SEGMENTATION_FALLBACKS);
}

static void send_super_packet(uint32_t number, int receiver, uint32_t count, uint32_t size)
{
	static uint8_t payload[65536];

	for (uint32_t at = 0; at < count; at++)
		traffic_fill(payload + (size_t)at * size, at, size);
	traffic_send_segments(sender, number, payload, count * size, (uint16_t)size);
	for (uint32_t at = 0; at < count; at++)
		EXPECT(traffic_expect(receiver, at, size));
}

static void super_packets_arrive_as_single_datagrams(void)
{
	/* Segment sizes that fit a slot together, and that do not (TP_STATUS_COPY). */
	static const uint16_t sizes[] = { 100, 700, 1472 };
	int receiver = traffic_receiver(&rig, 61);
	static uint8_t payload[65536];
	uint64_t datagrams = 0, frames = interface_counter(SLUICE_INTERFACE_CAPTURED_FRAMES);
	uint32_t super_packets = 0;

	EXPECT_EQUAL(install_one(61, SLOT), 0);
	for (uint32_t round = 0; round < 60; round++) {
		uint32_t size = sizes[round % 3];
		uint32_t count = 2 + round % 40;
		uint32_t bytes = 0;

		for (uint32_t at = 0; at < count; at++) {
			uint32_t length = at + 1 == count ? size - round : size;

			traffic_fill(payload + bytes, at, length);
			bytes += length;
		}
		traffic_send_segments(sender, 61, payload, bytes, (uint16_t)size);
		for (uint32_t at = 0; at < count; at++)
			EXPECT(traffic_expect(receiver, at, at + 1 == count ? size - round : size));
		datagrams += count;
		super_packets++;
	}
	EXPECT(await_forwarded(61, datagrams));
	EXPECT(traffic_is_over(receiver));
	EXPECT_EQUAL(rule_counter(61, SLUICE_RULE_RECEIVED_PACKETS), datagrams);
	/* They did come as super-packets. */
	EXPECT_EQUAL(interface_counter(SLUICE_INTERFACE_CAPTURED_FRAMES) - frames, super_packets);
	EXPECT(sums_hold(61, 61));
	sluice_close(receiver);
}

static void bursts_of_super_packets_stay_in_order(void)
{
	enum { ROUNDS = 300, COUNT = 20, SIZE = 1400 };
	int receiver = traffic_receiver(&rig, 62);
	static uint8_t payload[COUNT * SIZE];

	EXPECT_EQUAL(install_one(62, SLOT), 0);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		for (uint32_t at = 0; at < COUNT; at++)
			traffic_fill(payload + (size_t)at * SIZE, round * COUNT + at, SIZE);
		traffic_send_segments(sender, 62, payload, sizeof(payload), SIZE);
		/* Lone ones in between. */
		traffic_send_numbered(sender, 62, round, 99);
	}
	for (uint32_t round = 0; round < ROUNDS; round++) {
		for (uint32_t at = 0; at < COUNT; at++)
			EXPECT(traffic_expect(receiver, round * COUNT + at, SIZE));
		EXPECT(traffic_expect(receiver, round, 99));
	}
	EXPECT(await_forwarded(62, ROUNDS * (COUNT + 1)));
	EXPECT(traffic_is_over(receiver));
	sluice_close(receiver);
}

static void without_segmentation_all_is_sent_plainly(void)
{
	int receiver = traffic_receiver(&rig, 63);
	uint64_t before = fallbacks();

	EXPECT_EQUAL(install_one(63, SLOT_PLAIN), 0);
	send_super_packet(63, receiver, 40, 1400);
	EXPECT(await_forwarded(63, 40));
	EXPECT_EQUAL(fallbacks(), before);
	EXPECT_EQUAL(output_counter(63, SLUICE_OUTPUT_SENT_PACKETS), 40);
	sluice_close(receiver);
}

/* One refusal may be one route's; sixteen in a row are believed (EGRESS_REFUSALS_BELIEVED). */
static void a_socket_that_refuses_segmentation_is_sent_to_plainly_from_then_on(void)
{
	enum { REFUSALS = 16, AFTER = 4, COUNT = 20 };
	int receiver = traffic_receiver(&rig, 64);
	uint64_t before = fallbacks();

	EXPECT_EQUAL(install_one(64, SLOT_REFUSE), 0);
	for (uint32_t packet = 1; packet <= REFUSALS + AFTER; packet++) {
		send_super_packet(64, receiver, COUNT, 1400);
		EXPECT(await_forwarded(64, packet * COUNT));
		EXPECT_EQUAL(fallbacks() - before, packet < REFUSALS ? packet : REFUSALS);
	}
	EXPECT_EQUAL(output_counter(64, SLUICE_OUTPUT_SENT_PACKETS), (REFUSALS + AFTER) * COUNT);
	EXPECT_EQUAL(output_counter(64, SLUICE_OUTPUT_FAILED_PACKETS), 0);
	sluice_close(receiver);
}

/* The table says 1500, the interface has become 1000: EMSGSIZE. Plain sends are fragmented. */
static void segments_longer_than_the_mtu_really_is_are_sent_plainly(void)
{
	int receiver = traffic_receiver(&rig, 65);
	uint64_t before = fallbacks();

	EXPECT_EQUAL(install_one(65, SLOT), 0);
	rig_relay(&rig, "ip link set out0 mtu 1000");
	send_super_packet(65, receiver, 10, 1400);
	EXPECT(await_forwarded(65, 10));
	EXPECT_EQUAL(fallbacks(), before + 1);
	rig_relay(&rig, "ip link set out0 mtu 1500");
	send_super_packet(65, receiver, 10, 1400);
	EXPECT(await_forwarded(65, 20));
	EXPECT_EQUAL(fallbacks(), before + 1);
	EXPECT_EQUAL(output_counter(65, SLUICE_OUTPUT_SENT_PACKETS), 20);
	sluice_close(receiver);
}

static void what_exceeds_the_outputs_mtu_arrives_fragmented(void)
{
	struct sluice_rule_record rule = rig_rule(&rig, 66, 0, 1);
	struct sluice_output_record output = rig_output(&rig, 66, SLOT);
	int receiver = traffic_receiver(&rig, 66);

	const uint64_t before = fallbacks();

	output.mtu = 1000;
	rig_relay(&rig, "ip link set out0 mtu 1000");
	EXPECT_EQUAL(rig_install(&rig, &rule, 1, &output, 1), 0);
	for (uint32_t sequence = 0; sequence < 500; sequence++) {
		uint32_t bytes = sequence % 2 ? 972 : 973;

		traffic_send_numbered(sender, 66, sequence, bytes);
	}
	for (uint32_t sequence = 0; sequence < 500; sequence++)
		EXPECT(traffic_expect(receiver, sequence, sequence % 2 ? 972 : 973));
	EXPECT(await_forwarded(66, 500));
	EXPECT_EQUAL(fallbacks(), before);
	rig_relay(&rig, "ip link set out0 mtu 1500");
	sluice_close(receiver);
}

/* As a predecessor leaves it that read copies and died before their slots went back. */
static void a_super_packet_whose_copy_is_gone_is_dropped_alone(void)
{
	enum { SENT = 6, GONE = 2, COUNT = 20, SIZE = 1400 };
	const uint32_t truncated = SLUICE_INTERFACE_DROPPED + SLUICE_DROP_TRUNCATED;
	int receiver = traffic_receiver(&rig, 67);
	static uint8_t payload[65536];

	EXPECT_EQUAL(install_one(67, SLOT), 0);
	rig_stop_worker(&rig);
	for (uint32_t packet = 0; packet < SENT; packet++) {
		for (uint32_t at = 0; at < COUNT; at++)
			traffic_fill(payload + (size_t)at * SIZE, packet * COUNT + at, SIZE);
		traffic_send_segments(sender, 67, payload, COUNT * SIZE, SIZE);
	}
	/* The supervisor's descriptor is the same socket. */
	for (uint32_t packet = 0; packet < GONE; packet++)
		EXPECT(recv(rig.shard, payload, sizeof(payload), MSG_DONTWAIT) > COUNT * SIZE);
	rig_start_worker(&rig);
	rig_attach(&rig, SHARD);
	rig_add_egress(&rig, SLOT, 0);
	EXPECT_EQUAL(install_one(67, SLOT), 0);
	for (uint32_t at = GONE * COUNT; at < SENT * COUNT; at++)
		EXPECT(traffic_expect(receiver, at, SIZE));
	EXPECT(await_forwarded(67, (SENT - GONE) * COUNT));
	EXPECT_EQUAL(interface_counter(truncated), GONE);
	sluice_close(receiver);
}

int main(void)
{
	if (!rig_possible()) {
		fprintf(stderr, "skipped: needs root for network namespaces\n");
		return EXIT_SKIPPED;
	}
	relay_open(true);
	super_packets_arrive_as_single_datagrams();
	bursts_of_super_packets_stay_in_order();
	without_segmentation_all_is_sent_plainly();
	a_socket_that_refuses_segmentation_is_sent_to_plainly_from_then_on();
	segments_longer_than_the_mtu_really_is_are_sent_plainly();
	what_exceeds_the_outputs_mtu_arrives_fragmented();
	a_super_packet_whose_copy_is_gone_is_dropped_alone();
	relay_close(failures);
	return failures ? 1 : 0;
}
