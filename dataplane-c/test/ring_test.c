/*
 * Super-packets longer than their slot, whose copies a worker had read when it was killed.
 * The slots are ours, and a socket pair is the socket's queue.
 */
#include "../src/ledger.h"
#include "../src/ring.h"
#include "expect.h"

#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define VNET_BYTES  sizeof(struct virtio_net_hdr)
#define FRAME_BYTES 1000u /* of which the slot holds the first SLOT_HOLDS */
#define SLOT_HOLDS  64u
#define FRAME_AT    80u /* in the slot */
#define FRAMES      3u

/* A block is whole pages of any kernel. */
static const struct sluice_ring geometry = { .frame_bytes = 4096,
					     .block_bytes = 65536,
					     .block_count = 1,
					     .frame_count = 16,
					     .vnet_header = 1 };

static uint8_t slots[65536] __attribute__((aligned(16)));
static struct shard_state *state;
static int queue[2];

static uint32_t *status_of(uint32_t slot)
{
	return &((struct tpacket2_hdr *)(void *)(slots + slot * geometry.frame_bytes))->tp_status;
}

/* As the kernel does it: what fits into the slot, and all of it into the queue. */
static void capture(uint32_t slot)
{
	uint8_t copy[VNET_BYTES + FRAME_BYTES] = { 0 };
	uint8_t *at = slots + slot * geometry.frame_bytes;
	const struct tpacket2_hdr header = {
		.tp_status = TP_STATUS_USER | TP_STATUS_COPY,
		.tp_len = FRAME_BYTES,
		.tp_snaplen = SLOT_HOLDS,
		.tp_mac = FRAME_AT,
	};

	memset(copy + VNET_BYTES, (int)slot + 1, FRAME_BYTES);
	memcpy(at, &header, sizeof(header));
	memcpy(at + FRAME_AT, copy + VNET_BYTES, SLOT_HOLDS);
	EXPECT_EQUAL(send(queue[1], copy, sizeof(copy), MSG_DONTWAIT), sizeof(copy));
}

static struct ring adopt(void)
{
	struct ring ring;

	EXPECT_EQUAL(ring_adopt(&ring, queue[0], slots, state, &geometry), 0);
	return ring;
}

/* A worker that took frames 0, 1 and 2. */
static struct ring begin(void)
{
	struct ring ring;
	struct frame frame;

	memset(state, 0, sizeof(*state));
	memset(slots, 0, sizeof(slots));
	state->magic = SHARD_STATE_MAGIC;
	for (uint32_t slot = 0; slot < FRAMES; slot++)
		capture(slot);
	ring = adopt();
	for (uint32_t slot = 0; slot < FRAMES; slot++)
		EXPECT_EQUAL(ring_take(&ring, &frame), RING_FRAME);
	return ring;
}

static void expect_whole(struct ring *ring, uint32_t slot)
{
	uint8_t expected[FRAME_BYTES];
	struct frame frame;

	memset(expected, (int)slot + 1, sizeof(expected));
	EXPECT_EQUAL(ring_take(ring, &frame), RING_FRAME);
	EXPECT_EQUAL(frame.captured, FRAME_BYTES);
	EXPECT(frame.captured == FRAME_BYTES && memcmp(frame.bytes, expected, FRAME_BYTES) == 0);
}

/* Its successor has them all, and what came later. */
static void expect_all(struct ring *ring, bool resuming)
{
	struct frame frame;

	capture(FRAMES);
	EXPECT_EQUAL(ring->resuming, resuming);
	for (uint32_t slot = 0; slot < FRAMES; slot++)
		expect_whole(ring, slot);
	EXPECT_EQUAL(ring_take(ring, &frame), RING_EMPTY);
	ring_return(ring);
	expect_whole(ring, FRAMES);
	ring_return(ring);
	EXPECT_EQUAL(*status_of(0), TP_STATUS_KERNEL);
	EXPECT_EQUAL(ring->copies_used, 0);
}

static void copies_of_a_batch_that_was_put_together_are_kept(void)
{
	struct ring successor;

	(void)begin();
	/* Who is killed as well, before it took anything. */
	(void)adopt();
	successor = adopt();
	expect_all(&successor, false);
}

static void copies_of_a_batch_that_was_being_sent_are_kept(void)
{
	struct ring ring = begin();
	struct ledger ledger = { 0 };
	struct ring successor;

	ledger_open(&ledger, state, ring.cursor, 1);
	successor = adopt();
	expect_all(&successor, true);
}

/* Their slots hold other frames since, which may begin like them. */
static void copies_of_a_batch_that_went_back_are_not(void)
{
	struct ring ring = begin();
	struct ring successor;

	state->sent = ring.cursor;
	successor = adopt();
	EXPECT_EQUAL(*status_of(FRAMES - 1), TP_STATUS_KERNEL);
	EXPECT_EQUAL(successor.copies_used, 0);
	capture(FRAMES);
	expect_whole(&successor, FRAMES);
}

int main(void)
{
	state = calloc(1, sizeof(*state));
	if (!state || socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, queue))
		return 1;
	copies_of_a_batch_that_was_put_together_are_kept();
	copies_of_a_batch_that_was_being_sent_are_kept();
	copies_of_a_batch_that_went_back_are_not();
	free(state);
	return failures ? 1 : 0;
}
