/* Capture sockets: shared without duplicates, closed before they are open, locked for good. */
#include "capture.h"
#include "expect.h"
#include "veth_pair.h"
#include "wire.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define GROUP       "239.1.1.1"
#define FOREIGN     "239.9.9.9"
#define FRAMES      4000u
#define FLOWS       64u
#define DEADLINE_MS 10000
#define BIRTHS      12
/* As many slots as FRAMES, in case one socket gets them all. */
#define RING_BYTES  (8u << 20)

static struct veth_pair pair;
static struct sluice_ring ring;
static int program, map_fd, wire;

static void open_shards(uint32_t count, int *fds)
{
	int error = sluice_shards_open(pair.near_ifindex, count, &ring, program, fds);

	if (error)
		give_up("shards: %s", strerror(-error));
}

/* 1 for a frame that was not seen before and whose flow belongs to that socket. */
static uint32_t count_once(uint8_t *seen, int *flow_owner, int socket,
			   const struct captured *captured)
{
	const uint32_t mark = captured_mark(captured);

	EXPECT(mark < FRAMES && !seen[mark]);
	if (mark >= FRAMES)
		return 0;
	seen[mark] = 1;
	EXPECT(!flow_owner[mark % FLOWS] || flow_owner[mark % FLOWS] == socket + 1);
	flow_owner[mark % FLOWS] = socket + 1;
	return 1;
}

static void two_sockets_share_traffic_without_duplicates(void)
{
	static uint8_t seen[FRAMES];
	static int flow_owner[FLOWS];
	struct capture captures[2];
	struct captured captured;
	struct pollfd waits[2] = { 0 };
	uint32_t counts[2] = { 0 };
	int fds[2];

	open_shards(2, fds);
	for (int i = 0; i < 2; i++) {
		capture_open(&captures[i], fds[i], &ring);
		waits[i] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
	}
	for (uint32_t mark = 0; mark < FRAMES; mark++) {
		struct wire_frame frame;

		wire_datagram(&frame, be(GROUP), (uint16_t)(6000 + mark % FLOWS), mark, 100);
		wire_send(wire, &frame);
	}
	while (counts[0] + counts[1] < FRAMES && poll(waits, 2, DEADLINE_MS) > 0) {
		for (int i = 0; i < 2; i++)
			while (capture_take(&captures[i], &captured))
				counts[i] += count_once(seen, flow_owner, i, &captured);
	}
	for (int i = 0; i < 2; i++)
		capture_close(&captures[i]);
	EXPECT_EQUAL(counts[0] + counts[1], FRAMES);
	/* 64 flows: one side is empty once in 2^63 runs. */
	EXPECT(counts[0] > 0 && counts[1] > 0);
}

static void expect_locked(int fd)
{
	struct sock_filter all[] = { BPF_STMT(BPF_RET | BPF_K, 0xffffffff) };
	struct sock_fprog everything = { .len = 1, .filter = all };
	int zero = 0;

	EXPECT(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &everything, sizeof(everything)) &&
	       errno == EPERM);
	EXPECT(setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof(program)) &&
	       errno == EPERM);
	EXPECT(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &zero, sizeof(zero)) && errno == EPERM);
	EXPECT(setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &zero, sizeof(zero)) && errno == EPERM);
}

static void the_filter_refuses_changes_even_by_root(void)
{
	int fds[2];

	open_shards(2, fds);
	for (int i = 0; i < 2; i++) {
		expect_locked(fds[i]);
		sluice_close(fds[i]);
	}
}

static int fanout_of(int fd)
{
	int fanout = 0;
	socklen_t length = sizeof(fanout);

	if (getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &fanout, &length))
		give_up("PACKET_FANOUT: %s", strerror(errno));
	return fanout;
}

static void each_set_has_a_fanout_group_of_its_own(void)
{
	int several[3], lone;

	open_shards(3, several);
	open_shards(1, &lone);
	EXPECT(fanout_of(lone) != 0);
	EXPECT_EQUAL(fanout_of(several[0]), fanout_of(several[1]));
	EXPECT_EQUAL(fanout_of(several[0]), fanout_of(several[2]));
	EXPECT(fanout_of(several[0]) != fanout_of(lone));
	EXPECT_EQUAL(fanout_of(several[0]) >> 16, PACKET_FANOUT_HASH);
	for (int i = 0; i < 3; i++)
		sluice_close(several[i]);
	sluice_close(lone);
}

/* ---- birth under fire ---- */

static atomic_bool flooding;
static atomic_uint flooded;

static void *flood(void *frame)
{
	enter_far(&pair);
	while (atomic_load(&flooding)) {
		wire_send(wire, frame);
		atomic_fetch_add(&flooded, 1);
	}
	return NULL;
}

static pthread_t start_flood(struct wire_frame *frame)
{
	pthread_t thread;
	unsigned before = atomic_load(&flooded);

	atomic_store(&flooding, true);
	if (pthread_create(&thread, NULL, flood, frame))
		give_up("no thread");
	while (atomic_load(&flooded) == before)
		;
	return thread;
}

static void stop_flood(pthread_t thread)
{
	atomic_store(&flooding, false);
	pthread_join(thread, NULL);
}

/* Everything that passed the filter of the moment, into the ring or past it. */
static uint32_t admitted(int fd)
{
	struct tpacket_stats stats = { 0 };
	socklen_t length = sizeof(stats);

	if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &length))
		give_up("PACKET_STATISTICS: %s", strerror(errno));
	return stats.tp_packets;
}

static void unrelated_traffic_is_never_seen_not_even_at_birth(void)
{
	struct wire_frame frame;
	pthread_t thread;

	wire_datagram(&frame, be(FOREIGN), 5000, 0, 100);
	thread = start_flood(&frame);
	for (int birth = 0; birth < BIRTHS; birth++) {
		struct capture capture;
		struct captured captured;
		uint8_t byte;
		int fds[2];

		open_shards(2, fds);
		for (int i = 0; i < 2; i++) {
			capture_open(&capture, fds[i], &ring);
			EXPECT(!capture_take(&capture, &captured));
			EXPECT(recv(fds[i], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
			EXPECT_EQUAL(admitted(fds[i]), 0);
			capture_close(&capture);
		}
	}
	stop_flood(thread);
	EXPECT(atomic_load(&flooded) > BIRTHS);
}

static void *count_up(void *unused)
{
	struct wire_frame frame;

	(void)unused;
	enter_far(&pair);
	while (atomic_load(&flooding)) {
		uint32_t mark = atomic_fetch_add(&flooded, 1);

		wire_datagram(&frame, be(GROUP), (uint16_t)(6000 + mark % FLOWS), mark, 100);
		wire_send(wire, &frame);
	}
	return NULL;
}

static void no_frame_is_doubled_at_birth(void)
{
	static uint8_t seen[1u << 24];
	pthread_t thread;

	atomic_store(&flooding, true);
	if (pthread_create(&thread, NULL, count_up, NULL))
		give_up("no thread");
	for (int birth = 0; birth < BIRTHS; birth++) {
		struct capture captures[2];
		struct captured captured;
		int fds[2];
		uint32_t total = 0;

		memset(seen, 0, sizeof(seen));
		open_shards(2, fds);
		for (int i = 0; i < 2; i++)
			capture_open(&captures[i], fds[i], &ring);
		for (uint32_t i = 0; total < 200; i ^= 1) {
			if (!capture_take(&captures[i], &captured))
				continue;
			EXPECT_EQUAL(seen[captured_mark(&captured) % sizeof(seen)]++, 0);
			total++;
		}
		for (int i = 0; i < 2; i++)
			capture_close(&captures[i]);
	}
	stop_flood(thread);
}

/* ---- refusals and sizes ---- */

static void a_failure_leaves_nothing_open(void)
{
	const unsigned before = count_descriptors();
	struct sluice_ring bad = ring;
	int fds[4];

	EXPECT_EQUAL(sluice_shards_open(9999, 2, &ring, program, fds), -ENODEV);
	EXPECT_EQUAL(sluice_shards_open(0, 2, &ring, program, fds), -EINVAL);
	EXPECT_EQUAL(sluice_shards_open(pair.near_ifindex, 0, &ring, program, fds), -EINVAL);
	EXPECT_EQUAL(sluice_shards_open(pair.near_ifindex, 65, &ring, program, fds), -EINVAL);
	EXPECT(sluice_shards_open(pair.near_ifindex, 2, &ring, map_fd, fds) < 0);
	bad.frame_count--;
	EXPECT_EQUAL(sluice_shards_open(pair.near_ifindex, 2, &bad, program, fds), -EINVAL);
	ip("link add down0 type veth peer name down1");
	ip("link set down1 up");
	EXPECT_EQUAL(sluice_shards_open(if_nametoindex("down0"), 2, &ring, program, fds),
		     -ENETDOWN);
	ip("link del down0");
	EXPECT_EQUAL(count_descriptors(), before);
}

static void a_socket_knows_that_its_interface_was_taken_away(void)
{
	uint32_t ifindex;
	int fd;

	ip("link add gone0 up type veth peer name gone1");
	ip("link set gone1 up");
	ifindex = if_nametoindex("gone0");
	EXPECT_EQUAL(sluice_shards_open(ifindex, 1, &ring, program, &fd), 0);
	EXPECT_EQUAL(sluice_shard_interface(fd), (int)ifindex);
	ip("link set gone0 down");
	ip("link set gone0 name gone2");
	ip("link set gone2 up");
	EXPECT_EQUAL(sluice_shard_interface(fd), (int)ifindex);
	ip("link del gone2");
	EXPECT_EQUAL(sluice_shard_interface(fd), -ENODEV);
	ip("link add gone0 index %u up type veth peer name gone1", ifindex);
	EXPECT_EQUAL(sluice_shard_interface(fd), -ENODEV);
	ip("link del gone0");
	sluice_close(fd);
	EXPECT_EQUAL(sluice_shard_interface(fd), -EBADF);
}

static void a_frame_longer_than_the_slot_comes_whole_through_the_queue(void)
{
	static uint8_t whole[WIRE_FRAME_BYTES];
	struct wire_frame frame;
	struct capture capture;
	struct captured captured;
	int fd;

	ip("link set near0 mtu 9000");
	enter_far(&pair);
	ip("link set far0 mtu 9000");
	enter_near(&pair);
	open_shards(1, &fd);
	capture_open(&capture, fd, &ring);
	wire_datagram(&frame, be(GROUP), 5000, 77, 8000);
	wire_send(wire, &frame);
	EXPECT(capture_await(&capture, &captured));
	EXPECT(captured.status & TP_STATUS_COPY);
	EXPECT_EQUAL(captured.wire_bytes, frame.bytes);
	/* With PACKET_VNET_HDR the queue's datagrams begin with the 10 bytes of that header. */
	EXPECT_EQUAL(recv(fd, whole, sizeof(whole), MSG_DONTWAIT), frame.bytes + 10);
	EXPECT(memcmp(whole + 10, frame.frame, frame.bytes) == 0);
	capture_close(&capture);
}

int main(void)
{
	if (!veth_pair_possible()) {
		fputs("needs root for network namespaces\n", stderr);
		return EXIT_SKIPPED;
	}
	veth_pair_open(&pair);
	program = sluice_filter_create(16, 1, &map_fd);
	if (program < 0 || sluice_filter_add(map_fd, be(GROUP)) ||
	    sluice_ring_plan(1500, RING_BYTES, 1, &ring))
		give_up("no filter: %s", sluice_filter_log());
	enter_far(&pair);
	wire = wire_open(pair.far_ifindex);
	enter_near(&pair);

	two_sockets_share_traffic_without_duplicates();
	the_filter_refuses_changes_even_by_root();
	each_set_has_a_fanout_group_of_its_own();
	unrelated_traffic_is_never_seen_not_even_at_birth();
	no_frame_is_doubled_at_birth();
	a_failure_leaves_nothing_open();
	a_socket_knows_that_its_interface_was_taken_away();
	a_frame_longer_than_the_slot_comes_whole_through_the_queue();
	return failures != 0;
}
