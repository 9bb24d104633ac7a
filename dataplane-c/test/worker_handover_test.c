/*
 * What a worker leaves in the ring, its successor takes up: nothing is lost, and nothing is sent twice.
 */
#include "../src/shard_state.h"
#include "expect.h"
#include "relay_fixture.h"

#include <string.h>
#include <unistd.h>

/* Frames wait in the ring while no worker holds the shard: none is lost or repeated. */
static void a_successor_goes_on_where_a_worker_stopped(void)
{
	int receiver = traffic_receiver(&rig, 77);
	uint32_t sequence = 0;
	uint8_t payload[100];

	EXPECT_EQUAL(install_one(77, SLOT), 0);
	for (uint32_t life = 0; life < 5; life++) {
		for (uint32_t burst = 0; burst < 300; burst++) {
			traffic_fill(payload, sequence++, 100);
			traffic_send(sender, 77, payload, 100);
		}
		rig_stop_worker(&rig);
		for (uint32_t burst = 0; burst < 300; burst++) {
			traffic_fill(payload, sequence++, 100);
			traffic_send(sender, 77, payload, 100);
		}
		rig_start_worker(&rig);
		/* The shard first: its frames wait for the table. */
		rig_attach(&rig, SHARD);
		rig_add_egress(&rig, SLOT, 0);
		EXPECT_EQUAL(install_one(77, SLOT), 0);
		/* However late it runs: the ring has no room for what all lives leave. */
		EXPECT(await_forwarded(77, sequence));
	}
	for (uint32_t at = 0; at < sequence; at++)
		EXPECT(traffic_expect(receiver, at, 100));
	EXPECT(traffic_is_over(receiver));
	sluice_close(receiver);
}

/* Without the copies. */
#define STATE_BYTES offsetof(struct shard_state, copies)

static void read_state(struct shard_state *state)
{
	EXPECT_EQUAL(pread(rig.shard_state, state, STATE_BYTES, 0), STATE_BYTES);
}

static void write_state(const struct shard_state *state)
{
	EXPECT_EQUAL(pwrite(rig.shard_state, state, STATE_BYTES, 0), STATE_BYTES);
}

/* A copy left over in the queue, and a cursor that is wrong: as a predecessor that hung may leave. */
static void a_ring_out_of_step_is_put_in_step(void)
{
	const uint32_t count = rig.ring.frame_count;
	static uint8_t super_packet[14000];
	static struct shard_state state;
	int receiver;

	/* Passes a super-packet by, whose copy stays in the queue, and steps far beyond the head. */
	rig_stop_worker(&rig);
	traffic_send_segments(sender, 77, super_packet, sizeof(super_packet), 1400);
	read_state(&state);
	state.cursor = (state.cursor + 1000) % count;
	state.sent = state.cursor;
	write_state(&state);
	rig_start_worker(&rig);
	rig_attach(&rig, SHARD);
	rig_add_egress(&rig, SLOT, 0);
	receiver = traffic_receiver(&rig, 83);
	EXPECT_EQUAL(install_one(83, SLOT), 0);
	for (uint32_t sequence = 0; sequence < 100; sequence++)
		traffic_send_numbered(sender, 83, sequence, 100);
	for (uint32_t sequence = 0; sequence < 100; sequence++)
		EXPECT(traffic_expect(receiver, sequence, 100));
	EXPECT(traffic_is_over(receiver));
	sluice_close(receiver);
}

/* As a worker leaves it that was killed after it had sent three, before their slots went back. */
static void what_was_sent_is_not_sent_again(void)
{
	static struct shard_state state;
	int receiver = traffic_receiver(&rig, 83);

	rig_stop_worker(&rig);
	for (uint32_t sequence = 0; sequence < 5; sequence++)
		traffic_send_numbered(sender, 83, sequence, 100);
	read_state(&state);
	state.sent = (state.cursor + 3) % rig.ring.frame_count;
	write_state(&state);
	rig_start_worker(&rig);
	rig_attach(&rig, SHARD);
	rig_add_egress(&rig, SLOT, 0);
	EXPECT_EQUAL(install_one(83, SLOT), 0);
	EXPECT(traffic_expect(receiver, 3, 100));
	EXPECT(traffic_expect(receiver, 4, 100));
	EXPECT(traffic_is_over(receiver));
	sluice_close(receiver);
}

/* A copy that no slot claims makes the socket readable for ever. */
static void a_copy_that_no_slot_claims_is_thrown_away(void)
{
	static uint8_t super_packet[14000];
	static struct shard_state state;
	int receiver;

	rig_stop_worker(&rig);
	traffic_send_segments(sender, 83, super_packet, sizeof(super_packet), 1400);
	read_state(&state);
	/* Given back unread, as if it had been sent. */
	state.sent = (state.cursor + 1) % rig.ring.frame_count;
	write_state(&state);
	rig_start_worker(&rig);
	rig_attach(&rig, SHARD);
	rig_add_egress(&rig, SLOT, 0);
	receiver = traffic_receiver(&rig, 84);
	EXPECT_EQUAL(install_one(84, SLOT), 0);
	EXPECT(comes_to_rest());
	traffic_send_segments(sender, 84, super_packet, sizeof(super_packet), 1400);
	EXPECT(await_forwarded(84, 10));
	sluice_close(receiver);
}

/* As a worker leaves a batch that was killed when all of it was sent, and nothing else done. */
static void leave_sent_batch(uint64_t generation)
{
	static struct shard_state state;

	rig_stop_worker(&rig);
	for (uint32_t sequence = 0; sequence < 5; sequence++)
		traffic_send_numbered(sender, 83, sequence, 100);
	read_state(&state);
	state.batch_end = (state.cursor + 5) % rig.ring.frame_count;
	state.begun = 5;
	state.settled = 5;
	state.generation = generation;
	state.open = 1;
	write_state(&state);
	rig_start_worker(&rig);
	rig_add_egress(&rig, SLOT, 0);
	rig.generation = generation - 1;
	EXPECT_EQUAL(install_one(83, SLOT), 0);
	EXPECT_EQUAL(install_one(83, SLOT), 0);
	EXPECT_EQUAL(rig.generation, generation + 1);
}

/* A survivor has the rules of now when it gets a batch of those before. */
static void a_batch_goes_on_with_the_table_it_began_with(void)
{
	const uint64_t received = rule_counter(83, SLUICE_RULE_RECEIVED_PACKETS);
	struct sluice_egress_slot remove = { .message = { .kind = SLUICE_MESSAGE_REMOVE_EGRESS },
					     .slot = SLOT + 1 };
	int receiver = traffic_receiver(&rig, 83);

	leave_sent_batch(rig.generation);
	rig_attach(&rig, SHARD);
	EXPECT(await_forwarded(83, received + 5));
	traffic_send_numbered(sender, 83, 5, 100);
	EXPECT(traffic_expect(receiver, 5, 100));

	/* Not with slots of sockets that may be others' by now: then it is sent again. */
	leave_sent_batch(rig.generation);
	rig_add_egress(&rig, remove.slot, 0);
	EXPECT_EQUAL(rig_command(&rig, &remove, sizeof(remove), NULL, 0), 0);
	rig_attach(&rig, SHARD);
	for (uint32_t sequence = 0; sequence < 5; sequence++)
		EXPECT(traffic_expect(receiver, sequence, 100));
	EXPECT(traffic_is_over(receiver));
	sluice_close(receiver);
}

int main(void)
{
	if (!rig_possible()) {
		fprintf(stderr, "skipped: needs root for network namespaces\n");
		return EXIT_SKIPPED;
	}
	relay_open(true);
	a_successor_goes_on_where_a_worker_stopped();
	a_ring_out_of_step_is_put_in_step();
	what_was_sent_is_not_sent_again();
	a_copy_that_no_slot_claims_is_thrown_away();
	a_batch_goes_on_with_the_table_it_began_with();
	relay_close(failures);
	return failures ? 1 : 0;
}
