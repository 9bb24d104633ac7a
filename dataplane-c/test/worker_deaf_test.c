/*
 * A super-packet of a kind that virtio_net_hdr has no word for stops a ring with that header:
 * the kernel reserves a slot for it and never gets beyond. Here it is one of UDP fragmentation
 * offload, as a neighbour's virtual machine can send it. The worker tells, and a ring without
 * the header goes on.
 */
#include "expect.h"
#include "relay_fixture.h"
#include "wire.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DEAF_SHARD  10u
#define PLAIN_SHARD 11u
#define RULE        0u /* to whose port wire_datagram() sends */
#define BYTES       100u

static int tap;

static void open_tap(void)
{
	struct ifreq request = { .ifr_name = "tap0",
				 .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

	tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	rig_require(tap >= 0 && ioctl(tap, TUNSETIFF, &request) == 0, "tap");
	rig_relay(&rig, "ip link set tap0 up");
}

/* As what comes in at tap0. */
static void deliver(size_t payload_bytes, struct virtio_net_hdr header)
{
	static struct wire_frame frame;
	uint8_t packet[sizeof(header) + WIRE_FRAME_BYTES];
	const struct sluice_rule_record rule = rig_rule(&rig, RULE, 0, 1);

	wire_datagram(&frame, rule.group_be, 4000, 1, payload_bytes);
	memcpy(packet, &header, sizeof(header));
	memcpy(packet + sizeof(header), frame.frame, frame.bytes);
	rig_require(write(tap, packet, sizeof(header) + frame.bytes) > 0, "write to tap");
}

static void deliver_datagram(void)
{
	deliver(BYTES, (struct virtio_net_hdr){ 0 });
}

static void deliver_fragmentation_offload(void)
{
	deliver(3000, (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					       .gso_type = VIRTIO_NET_HDR_GSO_UDP,
					       .hdr_len = 42,
					       .gso_size = 1480,
					       .csum_start = 34,
					       .csum_offset = 6 });
}

/* In place of the rig's. */
static void attach_tap(uint32_t shard, uint32_t vnet_header)
{
	sluice_close(rig.shard);
	sluice_close(rig.shard_state);
	sluice_close(rig.filter);
	sluice_close(rig.filter_map);
	rig.filter = sluice_filter_create(16, vnet_header, &rig.filter_map);
	rig_require(rig.filter >= 0 &&
			    sluice_ring_plan(1500, 1 << 20, vnet_header, &rig.ring) == 0 &&
			    sluice_shards_open(rig.in_ifindex, 1, &rig.ring, rig.filter,
					       &rig.shard) == 0,
		    "shard on tap0");
	rig.shard_state = sluice_shard_state_create();
	rig_attach(&rig, shard);
	EXPECT_EQUAL(install_one(RULE, SLOT), 0);
}

static void detach(uint32_t shard)
{
	struct sluice_detach_shard message = { .message = { .kind = SLUICE_MESSAGE_DETACH_SHARD },
					       .shard = shard };

	EXPECT_EQUAL(rig_command(&rig, &message, sizeof(message), NULL, 0), 0);
}

/* Within 10 s, while datagrams keep coming. kind 0: it did not come. */
static struct sluice_event await_deaf(void)
{
	struct pollfd wait = { .fd = rig.events, .events = POLLIN };
	struct sluice_event event = { 0 };

	for (int tries = 0; tries < 1000 && event.kind != SLUICE_EVENT_DEAF; tries++) {
		deliver_datagram();
		if (poll(&wait, 1, 10) == 1)
			rig_require(read(rig.events, &event, sizeof(event)) == sizeof(event),
				    "event");
	}
	return event.kind == SLUICE_EVENT_DEAF ? event : (struct sluice_event){ 0 };
}

static bool arrives(int receiver)
{
	uint8_t payload[BYTES];

	return traffic_receive(receiver, payload, sizeof(payload), TRAFFIC_PATIENCE_MS) == BYTES;
}

static void a_ring_that_takes_nothing_any_more_is_told_of(int receiver)
{
	struct sluice_event event;

	attach_tap(DEAF_SHARD, 1);
	deliver_datagram();
	EXPECT(arrives(receiver));
	deliver_fragmentation_offload();
	event = await_deaf();
	EXPECT_EQUAL(event.kind, SLUICE_EVENT_DEAF);
	EXPECT_EQUAL(event.connection, rig.connection);
	EXPECT_EQUAL(event.a, DEAF_SHARD);
	EXPECT(traffic_is_over(receiver));
	detach(DEAF_SHARD);
}

static void a_ring_without_the_header_goes_on(int receiver)
{
	const uint32_t truncated =
		RIG_INTERFACE_COUNTERS + SLUICE_INTERFACE_DROPPED + SLUICE_DROP_TRUNCATED;

	attach_tap(PLAIN_SHARD, 0);
	deliver_fragmentation_offload();
	deliver_datagram();
	EXPECT(arrives(receiver));
	EXPECT_EQUAL(rig_await(&rig, truncated, 1), 1);
	EXPECT(traffic_is_over(receiver));
}

int main(void)
{
	int receiver;

	if (!rig_possible() || access("/dev/net/tun", R_OK | W_OK)) {
		fprintf(stderr, "skipped: needs root for network namespaces, and /dev/net/tun\n");
		return EXIT_SKIPPED;
	}
	relay_open(true);
	open_tap();
	rig.in_ifindex = if_nametoindex("tap0");
	receiver = traffic_receiver(&rig, RULE);
	a_ring_that_takes_nothing_any_more_is_told_of(receiver);
	a_ring_without_the_header_goes_on(receiver);
	sluice_close(receiver);
	relay_close(failures);
	sluice_close(tap);
	return failures ? 1 : 0;
}
