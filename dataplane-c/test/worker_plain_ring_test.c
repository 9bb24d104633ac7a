/*
 * A ring without PACKET_VNET_HDR, as on kernels before 6.2: nothing says where the
 * datagrams of a super-packet end, so what is longer than a slot is dropped by name and
 * not sent on as one.
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

static void super_packets_are_dropped_by_name(void)
{
	const uint32_t reason = SLUICE_INTERFACE_DROPPED + SLUICE_DROP_BAD_SEGMENT_SIZE;
	int receiver = traffic_receiver(&rig, 1);
	static uint8_t payload[14000];

	for (uint32_t at = 0; at < 10; at++)
		traffic_send_segments(sender, 1, payload, sizeof(payload), 1400);
	EXPECT_EQUAL(rig_await(&rig, RIG_INTERFACE_COUNTERS + reason, 10), 10);
	EXPECT(traffic_is_over(receiver));
	/* And what comes after is in step. */
	traffic_send_numbered(sender, 1, 7, 100);
	EXPECT(traffic_expect(receiver, 7, 100));
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
	relay_close(failures);
	return failures ? 1 : 0;
}
