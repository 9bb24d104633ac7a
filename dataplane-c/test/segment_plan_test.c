/* Which datagrams leave together: grouping by rule, and the guard rails of UDP_SEGMENT. */
#include "../src/batch.h"
#include "expect.h"

#include <stdlib.h>
#include <string.h>

#define MTU_LIMIT 1472u

static struct batch batch;
static struct segment_plan plan;
static struct iovec vectors[PLAN_MAX_DATAGRAMS];
static uint8_t stream[1 << 20];
static uint32_t stream_bytes;

static void add(uint32_t rule, uint32_t length, uint32_t segment_bytes, uint32_t count)
{
	const struct datagrams datagrams = { .payload = stream + stream_bytes,
					     .payload_bytes = length,
					     .segment_bytes = segment_bytes,
					     .count = count };

	EXPECT(stream_bytes + length <= sizeof(stream));
	for (uint32_t at = 0; at < length; at++)
		stream[stream_bytes + at] =
			(uint8_t)rand(); /* NOLINT(cert-msc30-c,cert-msc50-cpp) */
	stream_bytes += length;
	batch_add(&batch, rule, &datagrams);
}

static void add_single(uint32_t rule, uint32_t length)
{
	add(rule, length, length, 1);
}

static void clear(void)
{
	batch_clear(&batch);
	stream_bytes = 0;
}

static const struct batch_group *group_of(uint32_t rule)
{
	for (uint32_t group = 0; group < batch.group_count; group++) {
		if (batch.groups[group].rule == rule)
			return &batch.groups[group];
	}
	EXPECT(!"the rule has a group");
	return &batch.groups[0];
}

/* The lengths of the datagrams a kernel would make of the plan must be those received. */
static void plan_keeps_every_datagram(const struct batch_group *group, uint32_t limit)
{
	uint32_t send = 0, vector = 0;
	size_t offset = 0;
	uint32_t within = 0; /* bytes of this send */

	for (uint32_t at = group->first; at != PAYLOAD_NONE; at = batch.payloads[at].next) {
		const struct payload *payload = &batch.payloads[at];

		for (uint32_t datagram = 0; datagram < payload->count; datagram++) {
			const uint32_t start = datagram * payload->segment_bytes;
			uint32_t length = payload->length - start;
			const struct planned_send *planned = &plan.sends[send];

			if (length > payload->segment_bytes)
				length = payload->segment_bytes;
			EXPECT(send < plan.count);
			EXPECT(vector < planned->vector_count);
			EXPECT(memcmp((uint8_t *)planned->vectors[vector].iov_base + offset,
				      payload->bytes + start, length) == 0);
			EXPECT(planned->vectors[vector].iov_len - offset >= length);
			if (planned->segment_bytes) {
				EXPECT(planned->segment_bytes <= limit);
				/* The kernel cuts at multiples of the segment size. */
				EXPECT(within % planned->segment_bytes == 0);
				EXPECT(length == planned->segment_bytes ||
				       within + length == planned->bytes);
			} else {
				EXPECT_EQUAL(planned->bytes, length);
			}
			within += length;
			offset += length;
			if (offset == planned->vectors[vector].iov_len) {
				vector++;
				offset = 0;
			}
			if (within == planned->bytes) {
				EXPECT_EQUAL(vector, planned->vector_count);
				send++;
				vector = 0;
				within = 0;
			}
		}
	}
	EXPECT_EQUAL(send, plan.count);
}

static void make(uint32_t rule, uint32_t limit)
{
	const struct batch_group *group = group_of(rule);
	uint32_t used = segment_plan_make(&plan, batch.payloads, group->first, limit, vectors);
	uint32_t counted = 0;
	uint64_t packets = 0, bytes = 0;

	for (uint32_t send = 0; send < plan.count; send++) {
		EXPECT(plan.sends[send].datagrams <= PLAN_SEND_SEGMENTS);
		EXPECT(plan.sends[send].bytes <= PLAN_SEND_BYTES);
		EXPECT((plan.sends[send].datagrams == 1) == (plan.sends[send].segment_bytes == 0));
		counted += plan.sends[send].vector_count;
		packets += plan.sends[send].datagrams;
		bytes += plan.sends[send].bytes;
	}
	EXPECT_EQUAL(counted, used);
	EXPECT_EQUAL(packets, group->packets);
	EXPECT_EQUAL(bytes, group->bytes);
	plan_keeps_every_datagram(group, limit);
}

static void equal_datagrams_leave_together(void)
{
	clear();
	for (unsigned at = 0; at < 10; at++)
		add_single(1, 1400);
	make(1, MTU_LIMIT);
	EXPECT_EQUAL(plan.count, 1);
	EXPECT_EQUAL(plan.sends[0].segment_bytes, 1400);
	EXPECT_EQUAL(plan.sends[0].datagrams, 10);
}

static void a_shorter_one_ends_a_send_and_a_longer_one_begins_another(void)
{
	clear();
	add_single(1, 1000);
	add_single(1, 1000);
	add_single(1, 400);
	add_single(1, 400);
	add_single(1, 1000);
	make(1, MTU_LIMIT);
	EXPECT_EQUAL(plan.count, 3);
	EXPECT_EQUAL(plan.sends[0].datagrams, 3);
	EXPECT_EQUAL(plan.sends[1].datagrams, 1);
	EXPECT_EQUAL(plan.sends[2].datagrams, 1);
}

static void no_send_has_more_than_64_segments_or_65507_bytes(void)
{
	clear();
	for (unsigned at = 0; at < 130; at++)
		add_single(1, 100);
	make(1, MTU_LIMIT);
	EXPECT_EQUAL(plan.count, 3);
	EXPECT_EQUAL(plan.sends[0].datagrams, 64);
	EXPECT_EQUAL(plan.sends[2].datagrams, 2);
	clear();
	for (unsigned at = 0; at < 60; at++)
		add_single(1, 1400);
	make(1, MTU_LIMIT);
	EXPECT_EQUAL(plan.count, 2);
	EXPECT_EQUAL(plan.sends[0].datagrams, 46);
}

static void what_exceeds_the_mtu_leaves_alone(void)
{
	clear();
	for (unsigned at = 0; at < 3; at++)
		add_single(1, 1473);
	add_single(1, 1472);
	add_single(1, 1472);
	make(1, MTU_LIMIT);
	EXPECT_EQUAL(plan.count, 4);
	EXPECT_EQUAL(plan.sends[2].segment_bytes, 0);
	EXPECT_EQUAL(plan.sends[3].datagrams, 2);
}

static void without_segmentation_each_leaves_alone(void)
{
	clear();
	for (unsigned at = 0; at < 5; at++)
		add_single(1, 100);
	add(1, 1000, 300, 4);
	make(1, 0);
	EXPECT_EQUAL(plan.count, 9);
	EXPECT_EQUAL(plan.sends[8].bytes, 100);
}

static void an_empty_datagram_is_no_segment(void)
{
	clear();
	add_single(1, 100);
	add_single(1, 0);
	add_single(1, 100);
	make(1, MTU_LIMIT);
	EXPECT_EQUAL(plan.count, 3);
	clear();
	add_single(1, 0);
	add_single(1, 0);
	make(1, MTU_LIMIT);
	EXPECT_EQUAL(plan.count, 2);
}

static void super_packets_leave_as_they_came_and_join_their_like(void)
{
	clear();
	add(1, 10 * 1400, 1400, 10);
	add_single(1, 1400);
	add(1, 9 * 1400 + 700, 1400, 10);
	add(1, 2 * 1400, 1400, 2);
	make(1, MTU_LIMIT);
	EXPECT_EQUAL(plan.count, 2);
	EXPECT_EQUAL(plan.sends[0].datagrams, 21);
	/* 128 segments, as newer kernels make them. */
	clear();
	add(1, 128 * 100, 100, 128);
	make(1, MTU_LIMIT);
	EXPECT_EQUAL(plan.count, 2);
	/* Smaller segments can't end a send: they are several. */
	clear();
	add_single(1, 1400);
	add(1, 1000, 500, 2);
	make(1, MTU_LIMIT);
	EXPECT_EQUAL(plan.count, 2);
	/* Segments longer than the output's MTU are cut in user space. */
	clear();
	add(1, 3 * 1472 + 1, 1472, 4);
	make(1, 1372);
	EXPECT_EQUAL(plan.count, 4);
}

static void interleaved_rules_are_grouped_in_order(void)
{
	clear();
	/* Rules whose hashes meet, too: 256 of them in 512 slots. */
	for (uint32_t at = 0; at < BATCH_FRAMES; at++)
		add_single(at % 3, 100 + at % 7);
	EXPECT(batch_is_full(&batch));
	EXPECT_EQUAL(batch.group_count, 3);
	for (uint32_t rule = 0; rule < 3; rule++)
		make(rule, MTU_LIMIT);
	clear();
	for (uint32_t at = 0; at < BATCH_FRAMES; at++)
		add_single(at * 512, 10);
	EXPECT_EQUAL(batch.group_count, BATCH_FRAMES);
	for (uint32_t rule = 0; rule < BATCH_FRAMES; rule++)
		make(rule * 512, MTU_LIMIT);
	clear();
	EXPECT_EQUAL(batch.group_count, 0);
	add_single(512, 10);
	EXPECT_EQUAL(batch.group_count, 1);
	make(512, MTU_LIMIT);
}

static void any_mixture_keeps_every_datagram(void)
{
	for (unsigned seed = 1; seed < 400; seed++) {
		srand(seed);
		clear();
		/* NOLINTBEGIN(cert-msc30-c,cert-msc50-cpp): repeatable on purpose */
		while (!batch_is_full(&batch) && stream_bytes < sizeof(stream) - 70000) {
			uint32_t segment = 1 + (uint32_t)rand() % 4 * 450;
			uint32_t count = rand() % 3 ? 1 : 2 + (uint32_t)rand() % 30;
			uint32_t length =
				count * segment - (rand() % 2 ? (uint32_t)rand() % segment : 0);

			add((uint32_t)rand() % 2, length, count == 1 ? length : segment, count);
		}
		for (uint32_t group = 0; group < batch.group_count; group++)
			make(batch.groups[group].rule, rand() % 2 ? MTU_LIMIT : 1000);
		/* NOLINTEND(cert-msc30-c,cert-msc50-cpp) */
	}
}

int main(void)
{
	equal_datagrams_leave_together();
	a_shorter_one_ends_a_send_and_a_longer_one_begins_another();
	no_send_has_more_than_64_segments_or_65507_bytes();
	what_exceeds_the_mtu_leaves_alone();
	without_segmentation_each_leaves_alone();
	an_empty_datagram_is_no_segment();
	super_packets_leave_as_they_came_and_join_their_like();
	interleaved_rules_are_grouped_in_order();
	any_mixture_keeps_every_datagram();
	return failures ? 1 : 0;
}
