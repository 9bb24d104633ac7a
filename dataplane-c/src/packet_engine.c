/*
 * The engine that runs anywhere: AF_PACKET rings in, UDP sockets out.
 *
 *   ring slot ──parse──▶ datagrams ──table──▶ rule ──batch──▶ group
 *      ▲                                                        │ iovecs into the slot
 *      └───────────── slots back ◀──── sendmmsg ◀── outputs ◀───┘
 *
 * A batch is what one shard has ready, at most BATCH_FRAMES. Its order: send on all
 * outputs of all groups, count what was received, give the slots back. The ledger knows
 * at each moment how far it came; a successor goes on there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "batch.h"
#include "counters.h"
#include "egress.h"
#include "engine.h"
#include "packet_shard.h"

struct packet_engine {
	struct engine engine;
	struct journal *journal;
	const struct table *table; /* NULL: none yet */
	const struct table *table_before;
	uint64_t *counters;
	struct egress *egress;
	struct ledger ledger;
	uint32_t shard_count;
	struct packet_shard *shards[ENGINE_MAX_SHARDS];
	struct batch batch;
	/* Of this batch, counted when its slots went back. */
	uint64_t unmatched;
	uint64_t dropped[SLUICE_DROP_COUNT];
};

/* ---- shards ------------------------------------------------------------ */

static uint32_t resume_shard(struct packet_engine *packet, struct packet_shard *shard);

static int attach(struct engine *engine, const struct engine_shard *described)
{
	struct packet_engine *packet = (struct packet_engine *)engine;
	struct packet_shard *shard;
	int error;

	if (packet->shard_count == ENGINE_MAX_SHARDS)
		return -ENOSPC;
	for (uint32_t index = 0; index < packet->shard_count; index++) {
		if (packet->shards[index]->id == described->shard)
			return -EEXIST;
	}
	error = packet_shard_open(described, &shard);
	if (error)
		return error;
	packet_shard_find_counters(shard, packet->table, packet->counters);
	packet->shards[packet->shard_count++] = shard;
	/* At once: whoever hears that it is attached may change tables and sockets. */
	if (packet->table && shard->ring.resuming)
		resume_shard(packet, shard);
	return 0;
}

static int detach(struct engine *engine, uint32_t id)
{
	struct packet_engine *packet = (struct packet_engine *)engine;

	for (uint32_t index = 0; index < packet->shard_count; index++) {
		if (packet->shards[index]->id != id)
			continue;
		packet_shard_close(packet->shards[index]);
		packet->shards[index] = packet->shards[--packet->shard_count];
		return 0;
	}
	return -ENOENT;
}

/* ---- egress and table --------------------------------------------------- */

static int add_egress(struct engine *engine, uint32_t slot, int fd, uint32_t ifindex,
		      uint32_t options)
{
	struct packet_engine *packet = (struct packet_engine *)engine;

	return egress_add(packet->egress, slot, fd, ifindex, options);
}

static int remove_egress(struct engine *engine, uint32_t slot)
{
	struct packet_engine *packet = (struct packet_engine *)engine;

	return egress_remove(packet->egress, slot);
}

static void install(struct engine *engine, const struct table *table, const struct table *before,
		    uint64_t *counters)
{
	struct packet_engine *packet = (struct packet_engine *)engine;

	packet->table = table;
	packet->table_before = before;
	packet->counters = counters;
	packet->egress->counters = counters;
	packet->ledger.counters = counters;
	for (uint32_t index = 0; index < packet->shard_count; index++)
		packet_shard_find_counters(packet->shards[index], table, counters);
}

/* ---- a batch ------------------------------------------------------------ */

static void classify(struct packet_engine *packet, const struct packet_shard *shard,
		     const struct frame *frame)
{
	struct datagrams datagrams;
	enum sluice_drop drop = frame_parse(frame, &datagrams);
	uint32_t rule;

	if (__builtin_expect(drop != FRAME_OK, 0)) {
		packet->dropped[drop]++;
		return;
	}
	rule = table_lookup(packet->table, shard->ifindex, datagrams.vlan, datagrams.destination_be,
			    datagrams.port_be, datagrams.source_be);
	if (rule == TABLE_UNMATCHED)
		packet->unmatched += datagrams.count;
	else if (rule == TABLE_SOURCE_FILTERED)
		packet->dropped[SLUICE_DROP_SOURCE_FILTERED] += datagrams.count;
	else
		batch_add(&packet->batch, rule, &datagrams);
}

/* Frames that were taken, those of no concern included; *captured leaves them out. */
static uint32_t take_batch(struct packet_engine *packet, struct packet_shard *shard,
			   uint32_t *captured)
{
	uint32_t taken = 0;

	*captured = 0;
	while (taken < BATCH_FRAMES && !batch_is_full(&packet->batch)) {
		struct frame frame;
		enum ring_take outcome = ring_take(&shard->ring, &frame);

		if (outcome == RING_EMPTY)
			break;
		taken++;
		if (outcome == RING_OUTGOING)
			continue;
		++*captured;
		classify(packet, shard, &frame);
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
static void count_unusable(struct packet_engine *packet, const struct sluice_output_record *output,
			   uint64_t packets)
{
	uint64_t *counters = packet->counters + output->counter_index;

	/* What was gathered before comes before. */
	egress_flush(packet->egress);
	if (ledger_next(&packet->ledger, packets) == LEDGER_SETTLED)
		return;
	ledger_add(&packet->ledger, &counters[SLUICE_OUTPUT_ELIGIBLE_PACKETS], packets);
	ledger_add(&packet->ledger, &counters[SLUICE_OUTPUT_FAILED_PACKETS], packets);
	ledger_add(&packet->ledger,
		   &counters[SLUICE_OUTPUT_FAILED_BY_REASON + SLUICE_FAILURE_UNUSABLE], packets);
	ledger_settle(&packet->ledger, packets);
}

static void send_group(struct packet_engine *packet, const struct batch_group *group)
{
	const struct sluice_rule_record *rule = &packet->table->rules[group->rule];

	egress_take_group(packet->egress, packet->batch.payloads, group->first);
	for (uint32_t row = 0; row < rule->output_count; row++) {
		const struct sluice_output_record *output =
			&packet->table->outputs[rule->output_first + row];

		if (__builtin_expect(!(output->flags & SLUICE_OUTPUT_UNUSABLE), 1))
			egress_send(packet->egress, output);
		else if (has_output(packet->table, rule))
			count_unusable(packet, output, group->packets);
	}
}

static uint64_t unix_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static void count_groups(struct packet_engine *packet)
{
	const uint64_t now_ms = unix_ms();
	struct ledger *ledger = &packet->ledger;

	for (uint32_t index = 0; index < packet->batch.group_count; index++) {
		const struct batch_group *group = &packet->batch.groups[index];
		const struct sluice_rule_record *rule = &packet->table->rules[group->rule];
		uint64_t *counters = packet->counters + rule->counter_index;
		const uint32_t outcome = has_output(packet->table, rule)
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

static void count_interface(struct packet_engine *packet, struct packet_shard *shard,
			    uint32_t captured)
{
	uint64_t *steps = packet->counters + SLUICE_WORKER_BATCH_FRAMES;
	struct ledger *ledger = &packet->ledger;

	if (ledger_next(ledger, 1) == LEDGER_SETTLED)
		return;
	ledger_add(ledger, &shard->counters[SLUICE_INTERFACE_CAPTURED_FRAMES], captured);
	if (packet->unmatched)
		ledger_add(ledger, &shard->counters[SLUICE_INTERFACE_UNMATCHED_PACKETS],
			   packet->unmatched);
	for (uint32_t reason = 0; reason < SLUICE_DROP_COUNT; reason++) {
		if (packet->dropped[reason])
			ledger_add(ledger, &shard->counters[SLUICE_INTERFACE_DROPPED + reason],
				   packet->dropped[reason]);
	}
	ledger_add(ledger, &packet->counters[SLUICE_WORKER_BATCHES], 1);
	ledger_add(ledger, &steps[histogram_step(captured)], 1);
	ledger_settle(ledger, 1);
}

/*
 * Steps are the same only when the table is. The supervisor sees to it that whoever gets a
 * batch has the table that it was begun with, or had it before; where that table is nowhere
 * any more, the whole batch is sent again.
 */
static void open_batch(struct packet_engine *packet, struct packet_shard *shard)
{
	const uint64_t generation = packet->table->header->generation;
	struct ring *ring = &shard->ring;

	if (__builtin_expect(!ring->resuming, 1)) {
		ledger_open(&packet->ledger, ring->state, ring->cursor, generation);
		return;
	}
	if (ring->generation == generation) {
		ledger_reopen(&packet->ledger, ring->state, ring->begun, ring->settled);
		return;
	}
	journal_write(packet->journal, JOURNAL_WARN, SLUICE_FACILITY_CAPTURE,
		      "shard %u: a predecessor's batch of table %llu is sent again by table %llu",
		      shard->id, (unsigned long long)ring->generation,
		      (unsigned long long)generation);
	ledger_open(&packet->ledger, ring->state, ring->cursor, generation);
}

static uint32_t work_shard(struct packet_engine *packet, struct packet_shard *shard)
{
	uint32_t captured;
	uint32_t taken = take_batch(packet, shard, &captured);

	if (!taken) {
		/* A batch to resume without frames is none. */
		ring_return(&shard->ring);
		return 0;
	}
	shard->barren = 0;
	open_batch(packet, shard);
	for (uint32_t group = 0; group < packet->batch.group_count; group++)
		send_group(packet, &packet->batch.groups[group]);
	egress_flush(packet->egress);
	count_groups(packet);
	count_interface(packet, shard, captured);
	ring_return(&shard->ring);
	batch_clear(&packet->batch);
	packet->unmatched = 0;
	memset(packet->dropped, 0, sizeof(packet->dropped));
	return taken;
}

/* A batch that a predecessor began: with the table that it had, if that is still here. */
static uint32_t resume_shard(struct packet_engine *packet, struct packet_shard *shard)
{
	const struct table *const now = packet->table;
	const struct table *const before = packet->table_before;
	uint32_t taken;

	if (shard->ring.generation != now->header->generation && before &&
	    shard->ring.generation == before->header->generation)
		packet->table = before;
	packet_shard_find_counters(shard, packet->table, packet->counters);
	taken = shard->counters ? work_shard(packet, shard) : 0;
	packet->table = now;
	packet_shard_find_counters(shard, now, packet->counters);
	return taken;
}

static uint32_t work(struct engine *engine)
{
	struct packet_engine *packet = (struct packet_engine *)engine;
	uint32_t frames = 0;

	for (uint32_t index = 0; index < packet->shard_count; index++) {
		struct packet_shard *shard = packet->shards[index];

		if (!shard->counters)
			continue;
		frames += __builtin_expect(shard->ring.resuming, 0) ? resume_shard(packet, shard)
								    : work_shard(packet, shard);
	}
	return frames;
}

/* ---- waiting ------------------------------------------------------------ */

static bool ready(const struct engine *engine)
{
	const struct packet_engine *packet = (const struct packet_engine *)engine;

	for (uint32_t index = 0; index < packet->shard_count; index++) {
		const struct packet_shard *shard = packet->shards[index];

		if (shard->counters && ring_ready(&shard->ring))
			return true;
	}
	return false;
}

static uint32_t waits(const struct engine *engine, struct pollfd *fds)
{
	const struct packet_engine *packet = (const struct packet_engine *)engine;
	uint32_t count = 0;

	for (uint32_t index = 0; index < packet->shard_count; index++) {
		const struct packet_shard *shard = packet->shards[index];

		/* One that is left alone would be readable for ever. */
		if (shard->counters)
			fds[count++] = (struct pollfd){ .fd = shard->ring.fd, .events = POLLIN };
	}
	return count;
}

static void woken(struct engine *engine, const struct pollfd *fds, uint32_t count)
{
	struct packet_engine *packet = (struct packet_engine *)engine;
	uint32_t at = 0;

	for (uint32_t index = 0; index < packet->shard_count && at < count; index++) {
		struct packet_shard *shard = packet->shards[index];

		if (!shard->counters)
			continue;
		packet_shard_woken(shard, fds[at++].revents, packet->journal);
	}
}

static void sample(struct engine *engine)
{
	struct packet_engine *packet = (struct packet_engine *)engine;

	for (uint32_t index = 0; index < packet->shard_count; index++)
		packet_shard_sample(packet->shards[index]);
	egress_sample(packet->egress, packet->table);
}

/* ---- life ---------------------------------------------------------------- */

static void close_engine(struct engine *engine)
{
	struct packet_engine *packet = (struct packet_engine *)engine;

	for (uint32_t index = 0; index < packet->shard_count; index++)
		packet_shard_close(packet->shards[index]);
	egress_close(packet->egress);
	free(packet);
}

static const struct engine_ops packet_engine_ops = {
	.name = "packet",
	.attach = attach,
	.detach = detach,
	.add_egress = add_egress,
	.remove_egress = remove_egress,
	.install = install,
	.work = work,
	.ready = ready,
	.waits = waits,
	.woken = woken,
	.sample = sample,
	.close = close_engine,
};

struct engine *packet_engine_open(struct journal *journal)
{
	struct packet_engine *packet = calloc(1, sizeof(*packet));

	if (!packet)
		return NULL;
	packet->engine.ops = &packet_engine_ops;
	packet->journal = journal;
	packet->egress = egress_open(journal, &packet->ledger);
	if (!packet->egress) {
		free(packet);
		return NULL;
	}
	return &packet->engine;
}
