/*
 * A ring without PACKET_VNET_HDR, as on kernels before 6.2: nothing says where the
 * datagrams of a super-packet end, so that it is dropped by name and not sent on as one.
 */
#include "expect.h"
#include "relay_fixture.h"

static void single_datagrams_arrive(void)
{
	int receiver = traffic_receiver(&rig, 1);

	EXPECT_EQUAL(install_one(1, SLOT), 0);
	for (uint32_t size = 0; size <= 1472; size += 8)
		traffic_send_numbered(sender, 1, size, size);
	for (uint32_t size = 0; size <= 1472; size += 8)
		EXPECT(traffic_expect(receiver, size, size));
	EXPECT(traffic_is_over(receiver));
	sluice_close(receiver);
}

/* Longer than a slot, shorter, and as short as can be. */
static void super_packets_are_dropped_by_name(void)
{
	static const struct {
		uint32_t bytes;
		uint16_t segment_bytes;
	} kinds[] = { { 14000, 1400 }, { 1200, 400 }, { 2, 1 } };
	const uint32_t reason = SLUICE_INTERFACE_DROPPED + SLUICE_DROP_TRUNCATED;
	int receiver = traffic_receiver(&rig, 1);
	static uint8_t payload[14000];
	uint32_t sent = 0;

	for (; sent < 30; sent++)
		traffic_send_segments(sender, 1, payload, kinds[sent % 3].bytes,
				      kinds[sent % 3].segment_bytes);
	EXPECT_EQUAL(rig_await(&rig, RIG_INTERFACE_COUNTERS + reason, sent), sent);
	EXPECT(traffic_is_over(receiver));
	/* And what comes after is in step. */
	traffic_send_numbered(sender, 1, 7, 100);
	EXPECT(traffic_expect(receiver, 7, 100));
	sluice_close(receiver);
}

/* The interface's MTU grew since the ring was made. */
static void a_datagram_longer_than_its_slot_arrives(void)
{
	int receiver = traffic_receiver(&rig, 1);

	rig_relay(&rig, "ip link set in0 mtu 9000");
	rig_far(&rig, "ip link set in1 mtu 9000");
	for (uint32_t size = 1472; size <= 8972; size += 500)
		traffic_send_numbered(sender, 1, size, size);
	for (uint32_t size = 1472; size <= 8972; size += 500)
		EXPECT(traffic_expect(receiver, size, size));
	sluice_close(receiver);
}

int main(void)
{
	if (!rig_possible()) {
		fprintf(stderr, "skipped: needs root for network namespaces\n");
		return EXIT_SKIPPED;
	}
	relay_open(false);
	single_datagrams_arrive();
	super_packets_are_dropped_by_name();
	a_datagram_longer_than_its_slot_arrives();
	relay_close(failures);
	return failures ? 1 : 0;
}
