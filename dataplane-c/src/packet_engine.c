/*
 * The engine that runs anywhere: AF_PACKET rings in, UDP sockets out. Here is what it holds and
 * what it waits for; how a batch goes through is in forward.c.
 */
#include <errno.h>
#include <stdlib.h>

#include "engine.h"
#include "forward.h"

struct packet_engine {
	struct engine engine;
	struct forward forward;
	const struct table *table_before;
	uint32_t shard_count;
	struct packet_shard *shards[ENGINE_MAX_SHARDS];
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
	packet_shard_find_counters(shard, packet->forward.table, packet->forward.counters);
	packet->shards[packet->shard_count++] = shard;
	/* At once: whoever hears that it is attached may change tables and sockets. */
	if (packet->forward.table && shard->ring.resuming)
		resume_shard(packet, shard);
	return 0;
}

static int detach(struct engine *engine, uint32_t id)
{
	struct packet_engine *packet = (struct packet_engine *)engine;

	for (uint32_t index = 0; index < packet->shard_count; index++) {
		if (packet->shards[index]->id != id)
			continue;
		packet_shard_close(packet->shards[index], packet->forward.journal);
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

	return egress_add(packet->forward.egress, slot, fd, ifindex, options);
}

static int remove_egress(struct engine *engine, uint32_t slot)
{
	struct packet_engine *packet = (struct packet_engine *)engine;

	return egress_remove(packet->forward.egress, slot);
}

static void install(struct engine *engine, const struct table *table, const struct table *before,
		    uint64_t *counters)
{
	struct packet_engine *packet = (struct packet_engine *)engine;

	packet->forward.table = table;
	packet->table_before = before;
	packet->forward.counters = counters;
	packet->forward.egress->counters = counters;
	packet->forward.ledger.counters = counters;
	for (uint32_t index = 0; index < packet->shard_count; index++)
		packet_shard_find_counters(packet->shards[index], table, counters);
}

/* ---- work ---------------------------------------------------------------- */

/* A batch that a predecessor began: with the table that it had, if that is still here. */
static uint32_t resume_shard(struct packet_engine *packet, struct packet_shard *shard)
{
	const struct table *const now = packet->forward.table;
	const struct table *const before = packet->table_before;
	uint32_t taken;

	if (shard->ring.generation != now->header->generation && before &&
	    shard->ring.generation == before->header->generation)
		packet->forward.table = before;
	packet_shard_find_counters(shard, packet->forward.table, packet->forward.counters);
	taken = shard->counters ? forward_batch(&packet->forward, shard) : 0;
	packet->forward.table = now;
	packet_shard_find_counters(shard, now, packet->forward.counters);
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
		frames += __builtin_expect(shard->ring.resuming, 0)
				  ? resume_shard(packet, shard)
				  : forward_batch(&packet->forward, shard);
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
		packet_shard_woken(shard, fds[at++].revents, packet->forward.journal);
	}
}

static uint32_t sample(struct engine *engine, uint32_t *deaf)
{
	struct packet_engine *packet = (struct packet_engine *)engine;
	uint32_t count = 0;

	for (uint32_t index = 0; index < packet->shard_count; index++) {
		if (packet_shard_sample(packet->shards[index], packet->forward.journal))
			deaf[count++] = packet->shards[index]->id;
	}
	egress_sample(packet->forward.egress, packet->forward.table);
	return count;
}

/* ---- life ---------------------------------------------------------------- */

static void close_engine(struct engine *engine)
{
	struct packet_engine *packet = (struct packet_engine *)engine;

	for (uint32_t index = 0; index < packet->shard_count; index++)
		packet_shard_close(packet->shards[index], packet->forward.journal);
	egress_close(packet->forward.egress);
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
	packet->forward.journal = journal;
	packet->forward.egress = egress_open(journal, &packet->forward.ledger);
	if (!packet->forward.egress) {
		free(packet);
		return NULL;
	}
	return &packet->engine;
}
