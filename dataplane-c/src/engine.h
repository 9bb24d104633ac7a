/*
 * The boundary behind which packets move. The worker knows only this; the records in
 * sluice.h say nothing of how an engine does it. Today there is one engine, which
 * takes frames from AF_PACKET rings and sends them through UDP sockets. An engine in
 * the kernel would take the same tables and write the same counters, with no shards.
 *
 * All calls come from the packet thread, between batches. None blocks.
 */
#ifndef SLUICE_ENGINE_H
#define SLUICE_ENGINE_H

#include <poll.h>
#include <stdbool.h>

#include "journal.h"
#include "sluice.h"
#include "table.h"

struct engine;

struct engine_shard {
	uint32_t shard;
	uint32_t ifindex;
	uint32_t driver; /* worker slot */
	struct sluice_ring ring;
	int socket;
	int state;
};

struct engine_ops {
	const char *name;

	/* Takes both descriptors on success only. -EEXIST, -ENOSPC, or what mapping says. */
	int (*attach)(struct engine *engine, const struct engine_shard *shard);
	/* -ENOENT. Its last counters are read first. */
	int (*detach)(struct engine *engine, uint32_t shard);

	/* Takes the descriptor on success only. -EINVAL, -EBUSY. */
	int (*add_egress)(struct engine *engine, uint32_t slot, int fd, uint32_t ifindex,
			  uint32_t options);
	/* -EINVAL, -ENOENT. */
	int (*remove_egress)(struct engine *engine, uint32_t slot);

	/*
	 * From now on this table, which table_map() validated against these counters, and the
	 * one before it (NULL: none) for batches that a dead worker began with that one. All
	 * stay until others are installed or the engine is closed.
	 */
	void (*install)(struct engine *engine, const struct table *table,
			const struct table *before, uint64_t *counters);

	/* Moves what is ready, a batch of each shard. Returns how many frames. */
	uint32_t (*work)(struct engine *engine);
	/* Is there work? A few loads. */
	bool (*ready)(const struct engine *engine);

	/* Fills `fds` with what to wait on; returns how many (at most SLUICE_MAX_INTERFACES × 2). */
	uint32_t (*waits)(const struct engine *engine, struct pollfd *fds);
	/* Those were polled: consumes errors. */
	void (*woken)(struct engine *engine, const struct pollfd *fds, uint32_t count);

	/*
	 * Reads counters that the kernel keeps. About every 100 ms. Fills `deaf` with the shards
	 * that take nothing any more (ENGINE_MAX_SHARDS); returns how many.
	 */
	uint32_t (*sample)(struct engine *engine, uint32_t *deaf);

	void (*close)(struct engine *engine);
};

struct engine {
	const struct engine_ops *ops;
};

/* Shards of one worker: its own and, for a while, those of workers that died. */
#define ENGINE_MAX_SHARDS (2u * SLUICE_MAX_INTERFACES)

/* NULL: no memory. `journal` outlives the engine. */
struct engine *packet_engine_open(struct journal *journal);

#endif
