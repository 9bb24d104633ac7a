/*
 * The engine that runs anywhere: AF_PACKET rings in, UDP sockets out.
 *
 *   ring slot ──parse──▶ datagrams ──table──▶ rule ──batch──▶ group
 *      ▲                                                        │ iovecs into the slot
 *      └───────────── slots back ◀──── sendmmsg ◀── outputs ◀───┘
 *
 * A batch is what one shard has ready, at most BATCH_FRAMES. Its order: send on all
 * outputs of all groups, give the slots back, then count what was received.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "batch.h"
#include "counters.h"
#include "egress.h"
#include "engine.h"
#include "ring.h"

struct shard {
	uint32_t id;
	uint32_t ifindex;
	/* Block of its interface in the table in force; NULL: not named there, left alone. */
	uint64_t *counters;
	/* Wake-ups in a row that found nothing at the cursor. */
	uint32_t barren;
	struct ring ring;
};

struct packet_engine {
	struct engine engine;
	struct journal *journal;
	const struct table *table; /* NULL: none yet */
	uint64_t *counters;
	struct egress *egress;
	uint32_t shard_count;
	struct shard *shards[ENGINE_MAX_SHARDS];
	struct batch batch;
	/* Of this batch, counted when its slots went back. */
	uint64_t unmatched;
	uint64_t dropped[SLUICE_DROP_COUNT];
};

/* ---- shards ------------------------------------------------------------ */

/*
 * A shard whose interface the table does not name keeps its frames: a successor gets
 * shards before tables, and must not throw away what it can't match yet.
 */
static void find_counters(const struct packet_engine *packet, struct shard *shard)
{
	const struct table *table = packet->table;

	shard->counters = NULL;
	for (uint32_t row = 0; table && row < table->header->interface_count; row++) {
		if (table->interfaces[row].ifindex == shard->ifindex)
			shard->counters = packet->counters + table->interfaces[row].counter_index;
	}
}

static int attach(struct engine *engine, const struct engine_shard *described)
{
	struct packet_engine *packet = (struct packet_engine *)engine;
	struct shard *shard;
	int error;

	if (packet->shard_count == ENGINE_MAX_SHARDS)
		return -ENOSPC;
	for (uint32_t index = 0; index < packet->shard_count; index++) {
		if (packet->shards[index]->id == described->shard)
			return -EEXIST;
	}
	shard = calloc(1, sizeof(*shard));
	if (!shard)
		return -ENOMEM;
	error = ring_map(&shard->ring, described->socket, described->state, &described->ring);
	if (error) {
		free(shard);
		return error;
	}
	shard->id = described->shard;
	shard->ifindex = described->ifindex;
	find_counters(packet, shard);
	packet->shards[packet->shard_count++] = shard;
	return 0;
}

static void sample_shard(struct shard *shard)
{
	uint32_t drops;

	/* The kernel's count goes on until somebody can be told. */
	if (!shard->counters)
		return;
	drops = ring_kernel_drops(&shard->ring);
	if (drops)
		counter_add(&shard->counters[SLUICE_INTERFACE_KERNEL_DROPPED_FRAMES], drops);
}

static void free_shard(struct shard *shard)
{
	sample_shard(shard);
	ring_unmap(&shard->ring);
	free(shard);
}

static int detach(struct engine *engine, uint32_t id)
{
	struct packet_engine *packet = (struct packet_engine *)engine;

	for (uint32_t index = 0; index < packet->shard_count; index++) {
		if (packet->shards[index]->id != id)
			continue;
		free_shard(packet->shards[index]);
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

static void install(struct engine *engine, const struct table *table, uint64_t *counters)
{
	struct packet_engine *packet = (struct packet_engine *)engine;

	packet->table = table;
	packet->counters = counters;
	packet->egress->counters = counters;
	for (uint32_t index = 0; index < packet->shard_count; index++)
		find_counters(packet, packet->shards[index]);
}

/* ---- a batch ------------------------------------------------------------ */

static void classify(struct packet_engine *packet, const struct shard *shard,
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
static uint32_t take_batch(struct packet_engine *packet, struct shard *shard, uint32_t *captured)
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

static void send_group(struct packet_engine *packet, const struct batch_group *group)
{
	const struct sluice_rule_record *rule = &packet->table->rules[group->rule];

	egress_take_group(packet->egress, packet->batch.payloads, group->first);
	for (uint32_t row = 0; row < rule->output_count; row++) {
		const struct sluice_output_record *output =
			&packet->table->outputs[rule->output_first + row];

		if (!(output->flags & SLUICE_OUTPUT_UNUSABLE))
			egress_send(packet->egress, output);
	}
}

static bool has_output(const struct table *table, const struct sluice_rule_record *rule)
{
	for (uint32_t row = 0; row < rule->output_count; row++) {
		if (!(table->outputs[rule->output_first + row].flags & SLUICE_OUTPUT_UNUSABLE))
			return true;
	}
	return false;
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

	for (uint32_t index = 0; index < packet->batch.group_count; index++) {
		const struct batch_group *group = &packet->batch.groups[index];
		const struct sluice_rule_record *rule = &packet->table->rules[group->rule];
		uint64_t *counters = packet->counters + rule->counter_index;

		counter_add(&counters[SLUICE_RULE_RECEIVED_PACKETS], group->packets);
		counter_add(&counters[SLUICE_RULE_RECEIVED_BYTES], group->bytes);
		counter_set(&counters[SLUICE_RULE_LAST_RECEIVED_UNIX_MS], now_ms);
		if (has_output(packet->table, rule))
			counter_add(&counters[SLUICE_RULE_FORWARDED_PACKETS], group->packets);
		else
			counter_add(&counters[SLUICE_RULE_DROPPED + SLUICE_DROP_NO_OUTPUT],
				    group->packets);
	}
}

static void count_batch(struct packet_engine *packet, struct shard *shard, uint32_t captured)
{
	uint64_t *steps = packet->counters + SLUICE_WORKER_BATCH_FRAMES;

	counter_add(&shard->counters[SLUICE_INTERFACE_CAPTURED_FRAMES], captured);
	if (packet->unmatched) {
		counter_add(&shard->counters[SLUICE_INTERFACE_UNMATCHED_PACKETS],
			    packet->unmatched);
		packet->unmatched = 0;
	}
	for (uint32_t reason = 0; reason < SLUICE_DROP_COUNT; reason++) {
		if (!packet->dropped[reason])
			continue;
		counter_add(&shard->counters[SLUICE_INTERFACE_DROPPED + reason],
			    packet->dropped[reason]);
		packet->dropped[reason] = 0;
	}
	count_groups(packet);
	counter_add(&packet->counters[SLUICE_WORKER_BATCHES], 1);
	counter_add(&steps[histogram_step(captured)], 1);
}

static uint32_t work_shard(struct packet_engine *packet, struct shard *shard)
{
	uint32_t captured;
	uint32_t taken = take_batch(packet, shard, &captured);

	if (!taken)
		return 0;
	shard->barren = 0;
	for (uint32_t group = 0; group < packet->batch.group_count; group++)
		send_group(packet, &packet->batch.groups[group]);
	egress_flush(packet->egress);
	ring_return(&shard->ring);
	count_batch(packet, shard, captured);
	batch_clear(&packet->batch);
	return taken;
}

static uint32_t work(struct engine *engine)
{
	struct packet_engine *packet = (struct packet_engine *)engine;
	uint32_t frames = 0;

	for (uint32_t index = 0; index < packet->shard_count; index++) {
		if (packet->shards[index]->counters)
			frames += work_shard(packet, packet->shards[index]);
	}
	return frames;
}

/* ---- waiting ------------------------------------------------------------ */

static bool ready(const struct engine *engine)
{
	const struct packet_engine *packet = (const struct packet_engine *)engine;

	for (uint32_t index = 0; index < packet->shard_count; index++) {
		const struct shard *shard = packet->shards[index];

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
		const struct shard *shard = packet->shards[index];

		/* One that is left alone would be readable for ever. */
		if (shard->counters)
			fds[count++] = (struct pollfd){ .fd = shard->ring.fd, .events = POLLIN };
	}
	return count;
}

/*
 * Readable, but nothing at the cursor: for some microseconds that is a frame being
 * written. When it stays so, the cursor or the queue of copies is out of step.
 */
#define BARREN_WAKEUPS 200u
#define BARREN_NAP_NS  50000

static void check_cursor(struct packet_engine *packet, struct shard *shard)
{
	const struct timespec nap = { .tv_nsec = BARREN_NAP_NS };

	if (ring_ready(&shard->ring)) {
		shard->barren = 0;
		return;
	}
	if (++shard->barren > 8)
		nanosleep(&nap, NULL);
	if (shard->barren < BARREN_WAKEUPS)
		return;
	shard->barren = 0;
	if (ring_resynchronise(&shard->ring))
		journal_write(packet->journal, JOURNAL_WARN, SLUICE_FACILITY_CAPTURE,
			      "shard %u: ring was out of step, going on at slot %u", shard->id,
			      shard->ring.cursor);
}

/* ENETDOWN is reported once and consumed by reading it; the socket lives on after up. */
static void consume_error(struct packet_engine *packet, const struct shard *shard)
{
	int error = 0;
	socklen_t length = sizeof(error);

	if (getsockopt(shard->ring.fd, SOL_SOCKET, SO_ERROR, &error, &length) || !error)
		return;
	journal_write(packet->journal, JOURNAL_INFO, SLUICE_FACILITY_CAPTURE,
		      "shard %u, interface %u: %s", shard->id, shard->ifindex,
		      sluice_error_text(error));
}

static void woken(struct engine *engine, const struct pollfd *fds, uint32_t count)
{
	struct packet_engine *packet = (struct packet_engine *)engine;
	uint32_t at = 0;

	for (uint32_t index = 0; index < packet->shard_count && at < count; index++) {
		struct shard *shard = packet->shards[index];

		if (!shard->counters)
			continue;
		if (fds[at].revents & POLLERR)
			consume_error(packet, shard);
		if (fds[at].revents & POLLIN)
			check_cursor(packet, shard);
		at++;
	}
}

static void sample(struct engine *engine)
{
	struct packet_engine *packet = (struct packet_engine *)engine;

	for (uint32_t index = 0; index < packet->shard_count; index++)
		sample_shard(packet->shards[index]);
}

/* ---- life ---------------------------------------------------------------- */

static void close_engine(struct engine *engine)
{
	struct packet_engine *packet = (struct packet_engine *)engine;

	for (uint32_t index = 0; index < packet->shard_count; index++)
		free_shard(packet->shards[index]);
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
	packet->egress = egress_open(journal);
	if (!packet->egress) {
		free(packet);
		return NULL;
	}
	return &packet->engine;
}
