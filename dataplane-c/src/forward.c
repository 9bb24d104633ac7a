#include "forward.h"

#include <string.h>
#include <time.h>

#include "counters.h"

static void classify(struct forward *forward, const struct packet_shard *shard,
		     const struct frame *frame)
{
	struct datagrams datagrams;
	enum sluice_drop drop = frame_parse(frame, &datagrams);
	uint32_t rule;

	if (__builtin_expect(drop != FRAME_OK, 0)) {
		forward->dropped[drop]++;
		return;
	}
	rule = table_lookup(forward->table, shard->ifindex, datagrams.vlan,
			    datagrams.destination_be, datagrams.port_be, datagrams.source_be);
	if (rule == TABLE_UNMATCHED)
		forward->unmatched += datagrams.count;
	else if (rule == TABLE_SOURCE_FILTERED)
		forward->dropped[SLUICE_DROP_SOURCE_FILTERED] += datagrams.count;
	else
		batch_add(&forward->batch, rule, &datagrams);
}

/* Frames that were taken, those of no concern included; *captured leaves them out. */
static uint32_t take_batch(struct forward *forward, struct packet_shard *shard, uint32_t *captured)
{
	uint32_t taken = 0;

	*captured = 0;
	while (taken < BATCH_FRAMES && !batch_is_full(&forward->batch)) {
		struct frame frame;
		enum ring_take outcome = ring_take(&shard->ring, &frame);

		if (outcome == RING_EMPTY)
			break;
		taken++;
		if (outcome == RING_OUTGOING)
			continue;
		++*captured;
		classify(forward, shard, &frame);
	}
	return taken;
}

static bool has_output(const struct table *table, const struct sluice_rule_record *rule)
{
	for (uint32_t row = 0; row < rule->output_count; row++) {
		if (!(table->outputs[rule->output_first + row].flags & SLUICE_OUTPUT_UNUSABLE))
			return true;
	}
	return false;
}

/* What the rule forwards to its other outputs, this one was to get as well. */
static void count_unusable(struct forward *forward, const struct sluice_output_record *output,
			   uint64_t packets)
{
	uint64_t *counters = forward->counters + output->counter_index;

	/* What was gathered before comes before. */
	egress_flush(forward->egress);
	if (ledger_next(&forward->ledger, packets) == LEDGER_SETTLED)
		return;
	ledger_add(&forward->ledger, &counters[SLUICE_OUTPUT_ELIGIBLE_PACKETS], packets);
	ledger_add(&forward->ledger, &counters[SLUICE_OUTPUT_FAILED_PACKETS], packets);
	ledger_add(&forward->ledger,
		   &counters[SLUICE_OUTPUT_FAILED_BY_REASON + SLUICE_FAILURE_UNUSABLE], packets);
	ledger_settle(&forward->ledger, packets);
}

static void send_group(struct forward *forward, const struct batch_group *group)
{
	const struct sluice_rule_record *rule = &forward->table->rules[group->rule];

	egress_take_group(forward->egress, forward->batch.payloads, group->first);
	for (uint32_t row = 0; row < rule->output_count; row++) {
		const struct sluice_output_record *output =
			&forward->table->outputs[rule->output_first + row];

		if (__builtin_expect(!(output->flags & SLUICE_OUTPUT_UNUSABLE), 1))
			egress_send(forward->egress, output);
		else if (has_output(forward->table, rule))
			count_unusable(forward, output, group->packets);
	}
}

static uint64_t unix_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static void count_groups(struct forward *forward)
{
	const uint64_t now_ms = unix_ms();
	struct ledger *ledger = &forward->ledger;

	for (uint32_t index = 0; index < forward->batch.group_count; index++) {
		const struct batch_group *group = &forward->batch.groups[index];
		const struct sluice_rule_record *rule = &forward->table->rules[group->rule];
		uint64_t *counters = forward->counters + rule->counter_index;
		const uint32_t outcome = has_output(forward->table, rule)
						 ? SLUICE_RULE_FORWARDED_PACKETS
						 : SLUICE_RULE_DROPPED + SLUICE_DROP_NO_OUTPUT;

		if (ledger_next(ledger, 1) == LEDGER_SETTLED)
			continue;
		counter_set(&counters[SLUICE_RULE_LAST_RECEIVED_UNIX_MS], now_ms);
		ledger_add(ledger, &counters[SLUICE_RULE_RECEIVED_PACKETS], group->packets);
		ledger_add(ledger, &counters[SLUICE_RULE_RECEIVED_BYTES], group->bytes);
		ledger_add(ledger, &counters[outcome], group->packets);
		ledger_settle(ledger, 1);
	}
}

_Static_assert(SLUICE_DROP_COUNT + 4 <= LEDGER_ENTRIES, "an interface's counts are one step");

static void count_interface(struct forward *forward, struct packet_shard *shard, uint32_t captured)
{
	uint64_t *steps = forward->counters + SLUICE_WORKER_BATCH_FRAMES;
	struct ledger *ledger = &forward->ledger;

	if (ledger_next(ledger, 1) == LEDGER_SETTLED)
		return;
	ledger_add(ledger, &shard->counters[SLUICE_INTERFACE_CAPTURED_FRAMES], captured);
	if (forward->unmatched)
		ledger_add(ledger, &shard->counters[SLUICE_INTERFACE_UNMATCHED_PACKETS],
			   forward->unmatched);
	for (uint32_t reason = 0; reason < SLUICE_DROP_COUNT; reason++) {
		if (forward->dropped[reason])
			ledger_add(ledger, &shard->counters[SLUICE_INTERFACE_DROPPED + reason],
				   forward->dropped[reason]);
	}
	ledger_add(ledger, &forward->counters[SLUICE_WORKER_BATCHES], 1);
	ledger_add(ledger, &steps[histogram_step(captured)], 1);
	ledger_settle(ledger, 1);
}

/*
 * Steps are the same only when the table is. The supervisor sees to it that whoever gets a
 * batch has the table that it was begun with, or had it before; where that table is nowhere
 * any more, the whole batch is sent again.
 */
static void open_batch(struct forward *forward, struct packet_shard *shard)
{
	const uint64_t generation = forward->table->header->generation;
	struct ring *ring = &shard->ring;

	if (__builtin_expect(!ring->resuming, 1)) {
		ledger_open(&forward->ledger, ring->state, ring->cursor, generation);
		return;
	}
	if (ring->generation == generation) {
		ledger_reopen(&forward->ledger, ring->state, ring->begun, ring->settled);
		return;
	}
	journal_write(forward->journal, JOURNAL_WARN, SLUICE_FACILITY_CAPTURE,
		      "shard %u: a predecessor's batch of table %llu is sent again by table %llu",
		      shard->id, (unsigned long long)ring->generation,
		      (unsigned long long)generation);
	ledger_open(&forward->ledger, ring->state, ring->cursor, generation);
}

uint32_t forward_batch(struct forward *forward, struct packet_shard *shard)
{
	uint32_t captured;
	uint32_t taken = take_batch(forward, shard, &captured);

	if (!taken) {
		/* A batch to resume without frames is none. */
		ring_return(&shard->ring);
		return 0;
	}
	shard->barren = 0;
	open_batch(forward, shard);
	for (uint32_t group = 0; group < forward->batch.group_count; group++)
		send_group(forward, &forward->batch.groups[group]);
	egress_flush(forward->egress);
	count_groups(forward);
	count_interface(forward, shard, captured);
	ring_return(&shard->ring);
	batch_clear(&forward->batch);
	forward->unmatched = 0;
	memset(forward->dropped, 0, sizeof(forward->dropped));
	return taken;
}
