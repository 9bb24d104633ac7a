/*
 * What comes in at in0 leaves at out0, whole, once, in order, and every counter is exact.
 */
#include "expect.h"
#include "relay_fixture.h"

#include <arpa/inet.h>
#include <string.h>

/* Bursts sent while the worker cannot run give full batches: the rings hold them. */
static void one_input_reaches_64_outputs_in_full_batches(void)
{
	enum { OUTPUTS = 64, PACKETS = 600 };
	struct sluice_rule_record rule = rig_rule(&rig, 3, 0, OUTPUTS);
	struct sluice_output_record outputs[OUTPUTS];
	int receivers[OUTPUTS];

	for (uint32_t at = 0; at < OUTPUTS; at++) {
		outputs[at] = rig_output(&rig, 100 + at, at % 2 ? SLOT : SLOT_PLAIN);
		receivers[at] = traffic_receiver(&rig, 100 + at);
	}
	/* Frames that come before the table wait in the ring. */
	for (uint32_t sequence = 0; sequence < PACKETS; sequence++) {
		traffic_send_numbered(sender, 3, sequence, 1000);
	}
	EXPECT_EQUAL(rig_install(&rig, &rule, 1, outputs, OUTPUTS), 0);
	for (uint32_t sequence = 0; sequence < PACKETS; sequence++) {
		traffic_send_numbered(sender, 3, sequence, 1000);
	}
	EXPECT(await_forwarded(3, PACKETS));
	for (uint32_t at = 0; at < OUTPUTS; at++) {
		EXPECT_EQUAL(output_counter(100 + at, SLUICE_OUTPUT_ELIGIBLE_PACKETS), PACKETS);
		EXPECT_EQUAL(output_counter(100 + at, SLUICE_OUTPUT_SENT_PACKETS), PACKETS);
		for (uint32_t sequence = 0; sequence < PACKETS; sequence++)
			EXPECT(traffic_expect(receivers[at], sequence, 1000));
		EXPECT(traffic_is_over(receivers[at]));
		sluice_close(receivers[at]);
	}
}

static void every_size_arrives_whole_once_and_in_order(void)
{
	int receiver = traffic_receiver(&rig, 1);

	EXPECT_EQUAL(install_one(1, SLOT), 0);
	for (uint32_t size = 0; size <= 1472; size++) {
		traffic_send_numbered(sender, 1, size, size);
	}
	for (uint32_t size = 0; size <= 1472; size++)
		EXPECT(traffic_expect(receiver, size, size));
	EXPECT(await_forwarded(1, 1473));
	EXPECT(traffic_is_over(receiver));
	EXPECT_EQUAL(rule_counter(1, SLUICE_RULE_RECEIVED_BYTES), 1472 * 1473 / 2);
	EXPECT_EQUAL(output_counter(1, SLUICE_OUTPUT_SENT_BYTES), 1472 * 1473 / 2);
	EXPECT(rule_counter(1, SLUICE_RULE_LAST_RECEIVED_UNIX_MS) > 1600000000000u);
	EXPECT(sums_hold(1, 1));
	sluice_close(receiver);
}

static void a_datagram_leaves_with_address_port_ttl_and_tos_of_its_output(void)
{
	int receiver = traffic_receiver(&rig, 2);
	struct sockaddr_in from = { 0 };
	uint8_t payload[100];
	int ttl = 0, tos = 0;

	EXPECT_EQUAL(install_one(2, SLOT), 0);
	traffic_fill(payload, 5, 100);
	traffic_send(sender, 2, payload, 100);
	EXPECT_EQUAL(traffic_receive_header(receiver, &from, &ttl, &tos), 100);
	EXPECT_EQUAL(ntohl(from.sin_addr.s_addr), 0x0a4d0202u);
	EXPECT_EQUAL(ntohs(from.sin_port), RIG_SOURCE_PORT + SLOT);
	EXPECT_EQUAL(ttl, 16);
	EXPECT_EQUAL(tos, 46 << 2);
	EXPECT(await_forwarded(2, 1));
	sluice_close(receiver);
}

static void interleaved_rules_keep_their_own_order(void)
{
	enum { RULES = 40, ROUNDS = 50 };
	struct sluice_rule_record rules[RULES];
	struct sluice_output_record outputs[RULES];
	int receivers[RULES];
	uint8_t payload[500];

	for (uint32_t at = 0; at < RULES; at++) {
		rules[at] = rig_rule(&rig, 10 + at, at, 1);
		outputs[at] = rig_output(&rig, 10 + at, at % 3 == 2 ? SLOT_PLAIN : SLOT);
		receivers[at] = traffic_receiver(&rig, 10 + at);
	}
	EXPECT_EQUAL(rig_install(&rig, rules, RULES, outputs, RULES), 0);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		for (uint32_t at = 0; at < RULES; at++) {
			traffic_fill(payload, round, 100 + at);
			traffic_send(sender, 10 + at, payload, 100 + at);
		}
	}
	for (uint32_t at = 0; at < RULES; at++) {
		for (uint32_t round = 0; round < ROUNDS; round++)
			EXPECT(traffic_expect(receivers[at], round, 100 + at));
		EXPECT(await_forwarded(10 + at, ROUNDS));
		EXPECT(traffic_is_over(receivers[at]));
		EXPECT(sums_hold(10 + at, 10 + at));
		sluice_close(receivers[at]);
	}
}

static void a_table_swap_loses_nothing(void)
{
	int receiver = traffic_receiver(&rig, 60);
	uint8_t payload[200];
	uint32_t sequence = 0;

	for (uint32_t swap = 0; swap < 50; swap++) {
		EXPECT_EQUAL(install_one(60, swap % 2 ? SLOT : SLOT_PLAIN), 0);
		for (uint32_t burst = 0; burst < 40; burst++) {
			traffic_fill(payload, sequence++, 200);
			traffic_send(sender, 60, payload, 200);
		}
	}
	for (uint32_t at = 0; at < sequence; at++)
		EXPECT(traffic_expect(receiver, at, 200));
	EXPECT(await_forwarded(60, sequence));
	EXPECT(traffic_is_over(receiver));
	sluice_close(receiver);
}

static void what_matches_no_rule_is_counted_on_the_interface(void)
{
	struct sluice_rule_record rules[2] = { rig_rule(&rig, 75, 0, 1), rig_rule(&rig, 76, 1, 0) };
	struct sluice_output_record output = rig_output(&rig, 75, SLOT);
	uint64_t unmatched = interface_counter(SLUICE_INTERFACE_UNMATCHED_PACKETS);
	uint64_t captured = interface_counter(SLUICE_INTERFACE_CAPTURED_FRAMES);
	uint8_t payload[10] = { 0 };

	/* The group of 76 passes the filter, but its rule wants another port. */
	rules[1].port_be = htons(1);
	EXPECT_EQUAL(rig_install(&rig, rules, 2, &output, 1), 0);
	for (uint32_t at = 0; at < 5; at++)
		traffic_send(sender, 76, payload, sizeof(payload));
	rig_await(&rig, RIG_INTERFACE_COUNTERS + SLUICE_INTERFACE_UNMATCHED_PACKETS, unmatched + 5);
	EXPECT_EQUAL(interface_counter(SLUICE_INTERFACE_UNMATCHED_PACKETS), unmatched + 5);
	EXPECT_EQUAL(interface_counter(SLUICE_INTERFACE_CAPTURED_FRAMES), captured + 5);
}

static void a_snapshot_labels_every_counter(void)
{
	struct sluice_rule_record rules[2] = { rig_rule(&rig, 79, 0, 2), rig_rule(&rig, 80, 2, 1) };
	struct sluice_output_record outputs[3] = { rig_output(&rig, 79, SLOT_PLAIN),
						   rig_output(&rig, 80, SLOT),
						   rig_output(&rig, 81, SLOT) };
	static uint64_t buffer[1024];
	const struct sluice_snapshot *snapshot = (void *)buffer;
	const uint64_t *column = buffer + sizeof(*snapshot) / 8;
	uint8_t payload[10] = { 0 };
	int64_t bytes;

	EXPECT_EQUAL(rig_install(&rig, rules, 2, outputs, 3), 0);
	traffic_send(sender, 80, payload, sizeof(payload));
	EXPECT(await_forwarded(80, 1));
	bytes = sluice_worker_snapshot(rig.worker, NULL, 0);
	EXPECT_EQUAL(bytes, 24 + 2 * (16 + 16 * 8) + 3 * (8 + 8 + 16 * 8) + 16 + 16 * 8 + 64 * 8);
	EXPECT_EQUAL(sluice_worker_snapshot(rig.worker, buffer, sizeof(buffer)), bytes);
	EXPECT_EQUAL(snapshot->table_generation, rig.generation);
	EXPECT_EQUAL(snapshot->rule_count, 2);
	EXPECT_EQUAL(snapshot->output_count, 3);
	EXPECT_EQUAL(snapshot->interface_count, 1);
	EXPECT_EQUAL(((const uint8_t *)column)[0], 79);
	EXPECT_EQUAL(((const uint8_t *)column)[16], 80);
	column += 4;
	EXPECT_EQUAL(column[SLUICE_RULE_RECEIVED_PACKETS], 0);
	EXPECT_EQUAL(column[SLUICE_RULE_COUNTERS + SLUICE_RULE_FORWARDED_PACKETS], 1);
	column += (size_t)2 * SLUICE_RULE_COUNTERS;
	/* The first rule's outputs in the order of their sockets. */
	EXPECT(column[0] == 0 && column[1] == 0 && column[2] == 1);
	EXPECT(column[3] == 80 && column[4] == 79 && column[5] == 81);
	column += 6;
	EXPECT_EQUAL(column[(size_t)2 * SLUICE_OUTPUT_COUNTERS + SLUICE_OUTPUT_SENT_PACKETS], 1);
	column += (size_t)3 * SLUICE_OUTPUT_COUNTERS;
	EXPECT(strcmp((const char *)column, "in0") == 0);
	column += 2;
	EXPECT_EQUAL(column[SLUICE_INTERFACE_CAPTURED_FRAMES],
		     interface_counter(SLUICE_INTERFACE_CAPTURED_FRAMES));
	column += SLUICE_INTERFACE_COUNTERS;
	EXPECT(column[SLUICE_WORKER_BATCHES] > 0);
}

int main(void)
{
	if (!rig_possible()) {
		fprintf(stderr, "skipped: needs root for network namespaces\n");
		return EXIT_SKIPPED;
	}
	relay_open(true);
	one_input_reaches_64_outputs_in_full_batches();
	every_size_arrives_whole_once_and_in_order();
	a_datagram_leaves_with_address_port_ttl_and_tos_of_its_output();
	interleaved_rules_keep_their_own_order();
	a_table_swap_loses_nothing();
	what_matches_no_rule_is_counted_on_the_interface();
	a_snapshot_labels_every_counter();
	relay_close(failures);
	return failures ? 1 : 0;
}
