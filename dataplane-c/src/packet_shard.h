/*
 * One capture socket as the packet engine holds it: its ring, the counters of its
 * interface, and what to do when the socket says something is wrong.
 */
#ifndef SLUICE_PACKET_SHARD_H
#define SLUICE_PACKET_SHARD_H

#include "engine.h"
#include "ring.h"

struct packet_shard {
	uint32_t id;
	uint32_t ifindex;
	/* Block of its interface in the table in force; NULL: not named there, left alone. */
	uint64_t *counters;
	/* Wake-ups in a row that found nothing at the cursor. */
	uint32_t barren;
	/* The cursor at the last sample, and samples in which the kernel dropped while nothing came. */
	uint32_t sampled_cursor;
	uint32_t deaf_samples;
	struct ring ring;
};

/* Takes both descriptors on success only. -ENOMEM, or what ring_map() says. */
int packet_shard_open(const struct engine_shard *described, struct packet_shard **result);
/* Counts what the kernel dropped last. */
void packet_shard_close(struct packet_shard *shard, struct journal *journal);

/*
 * Finds its interface in the table (NULL: none yet). A shard whose interface the table
 * does not name keeps its frames: a successor gets shards before tables, and must not
 * throw away what it can't match yet.
 */
void packet_shard_find_counters(struct packet_shard *shard, const struct table *table,
				uint64_t *counters);
/*
 * Adds what the kernel dropped since the last time. True: its ring is deaf. The kernel drops
 * all that comes, though there is room: tpacket_rcv() leaves a slot reserved for a super-packet
 * of a kind that virtio_net_hdr has no word for (UDP fragmentation offload, SCTP), and never
 * gets beyond it. Only another ring helps.
 */
bool packet_shard_sample(struct packet_shard *shard, struct journal *journal);
/* What poll says of its socket. */
void packet_shard_woken(struct packet_shard *shard, short revents, struct journal *journal);

#endif
