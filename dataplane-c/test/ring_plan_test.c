/* Ring plans: slots for the frames of an MTU, within bounds, as the kernel takes them. */
#include "capture.h"
#include "expect.h"
#include "veth_pair.h"
#include "wire.h"

#include <errno.h>
#include <linux/if_packet.h>

#define GROUP "239.1.1.1"

static struct veth_pair pair;
static int program;

static void a_plan_holds_the_mtu_and_is_what_the_kernel_takes(void)
{
	static const struct {
		uint32_t mtu, frame_bytes;
	} cases[] = { { 68, 2048 },    { 1500, 2048 },   { 1954, 2048 },  { 1955, 4096 },
		      { 9000, 16384 }, { 16290, 16384 }, { 65536, 16384 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sluice_ring plan;
		int fd;

		EXPECT_EQUAL(sluice_ring_plan(cases[i].mtu, 8 << 20, 1, &plan), 0);
		EXPECT_EQUAL(plan.frame_bytes, cases[i].frame_bytes);
		EXPECT_EQUAL(plan.block_bytes % plan.frame_bytes, 0);
		EXPECT_EQUAL((uint64_t)plan.block_bytes * plan.block_count, 8 << 20);
		EXPECT_EQUAL((uint64_t)plan.frame_bytes * plan.frame_count, 8 << 20);
		EXPECT_EQUAL(sluice_shards_open(pair.near_ifindex, 1, &plan, program, &fd), 0);
		sluice_close(fd);
	}
}

static void a_plan_has_bounds(void)
{
	struct sluice_ring plan;

	EXPECT_EQUAL(sluice_ring_plan(9000, 0, 0, &plan), 0);
	EXPECT_EQUAL(plan.frame_count, 64);
	EXPECT_EQUAL(sluice_ring_plan(1500, UINT64_C(1) << 30, 0, &plan), 0);
	EXPECT_EQUAL((uint64_t)plan.frame_bytes * plan.frame_count, 1 << 30);
	EXPECT_EQUAL(sluice_ring_plan(1500, (UINT64_C(1) << 30) + 1, 0, &plan), -EINVAL);
	EXPECT_EQUAL(sluice_ring_plan(67, 1 << 20, 0, &plan), -EINVAL);
	EXPECT_EQUAL(sluice_ring_plan(65537, 1 << 20, 0, &plan), -EINVAL);
	EXPECT_EQUAL(sluice_ring_plan(UINT32_MAX, 1 << 20, 0, &plan), -EINVAL);
	EXPECT_EQUAL(sluice_ring_plan(1500, 1 << 20, 2, &plan), -EINVAL);
	EXPECT_EQUAL(sluice_ring_plan(1500, 1 << 20, 1, NULL), -EINVAL);
}

/* The largest frame of the plan's MTU, one tag in it and super-packet header before it, fits its slot. */
static void the_longest_frame_of_the_mtu_fits_its_slot(void)
{
	struct sluice_ring plan;
	struct wire_frame frame;
	struct capture capture;
	struct captured captured;
	int wire, fd;

	ip("link set near0 mtu 1954");
	enter_far(&pair);
	ip("link set far0 mtu 1954");
	wire = wire_open(pair.far_ifindex);
	enter_near(&pair);
	EXPECT_EQUAL(sluice_ring_plan(1954, 1 << 20, 1, &plan), 0);
	EXPECT_EQUAL(sluice_shards_open(pair.near_ifindex, 1, &plan, program, &fd), 0);
	capture_open(&capture, fd, &plan);
	wire_datagram(&frame, be(GROUP), 5000, 1, 1954 - 28);
	wire_send(wire, &frame);
	EXPECT(capture_await(&capture, &captured));
	EXPECT(!(captured.status & TP_STATUS_COPY));
	EXPECT_EQUAL(captured.bytes, frame.bytes);
	capture_close(&capture);
}

int main(void)
{
	int map_fd;

	if (!veth_pair_possible()) {
		fputs("needs root for network namespaces\n", stderr);
		return EXIT_SKIPPED;
	}
	veth_pair_open(&pair);
	program = sluice_filter_create(16, 1, &map_fd);
	if (program < 0 || sluice_filter_add(map_fd, be(GROUP)))
		give_up("no filter: %s", sluice_filter_log());

	a_plan_holds_the_mtu_and_is_what_the_kernel_takes();
	a_plan_has_bounds();
	the_longest_frame_of_the_mtu_fits_its_slot();
	return failures != 0;
}
