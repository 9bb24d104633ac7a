#include "packet_shard.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "counters.h"

/*
 * Readable, but nothing at the cursor: for some microseconds that is a frame being
 * written. When it stays so, the cursor or the queue of copies is out of step.
 */
#define BARREN_WAKEUPS 200u
#define BARREN_NAP_NS  50000

/* One could be a ring that was full and was emptied in between; three in a row can't. */
#define DEAF_SAMPLES 3u

int packet_shard_open(const struct engine_shard *described, struct packet_shard **result)
{
	struct packet_shard *shard = calloc(1, sizeof(*shard));
	int error;

	if (!shard)
		return -ENOMEM;
	error = ring_map(&shard->ring, described->socket, described->state, &described->ring);
	if (error) {
		free(shard);
		return error;
	}
	shard->ring.state->driver = described->driver + 1;
	shard->id = described->shard;
	shard->ifindex = described->ifindex;
	*result = shard;
	return 0;
}

void packet_shard_close(struct packet_shard *shard, struct journal *journal)
{
	(void)packet_shard_sample(shard, journal);
	ring_unmap(&shard->ring);
	free(shard);
}

void packet_shard_find_counters(struct packet_shard *shard, const struct table *table,
				uint64_t *counters)
{
	shard->counters = NULL;
	for (uint32_t row = 0; table && row < table->header->interface_count; row++) {
		if (table->interfaces[row].ifindex == shard->ifindex)
			shard->counters = counters + table->interfaces[row].counter_index;
	}
}

static bool has_taken_any(struct packet_shard *shard)
{
	const uint32_t before = shard->sampled_cursor;

	shard->sampled_cursor = shard->ring.cursor;
	return shard->ring.cursor != before || ring_ready(&shard->ring);
}

bool packet_shard_sample(struct packet_shard *shard, struct journal *journal)
{
	uint32_t drops;

	/* The kernel's count goes on until somebody can be told. */
	if (!shard->counters)
		return false;
	drops = ring_kernel_drops(&shard->ring);
	if (drops)
		counter_add(&shard->counters[SLUICE_INTERFACE_KERNEL_DROPPED_FRAMES], drops);
	if (has_taken_any(shard)) {
		shard->deaf_samples = 0;
		return false;
	}
	if (!drops)
		return false;
	if (++shard->deaf_samples == DEAF_SAMPLES)
		journal_write(journal, JOURNAL_ERROR, SLUICE_FACILITY_CAPTURE,
			      "shard %u, interface %u: the kernel drops all that comes, though the "
			      "ring is empty",
			      shard->id, shard->ifindex);
	return shard->deaf_samples >= DEAF_SAMPLES;
}

static void check_cursor(struct packet_shard *shard, struct journal *journal)
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
		journal_write(journal, JOURNAL_WARN, SLUICE_FACILITY_CAPTURE,
			      "shard %u: ring was out of step, going on at slot %u", shard->id,
			      shard->ring.cursor);
}

/* ENETDOWN is reported once and consumed by reading it; the socket lives on after up. */
static void consume_error(const struct packet_shard *shard, struct journal *journal)
{
	int error = 0;
	socklen_t length = sizeof(error);

	if (getsockopt(shard->ring.fd, SOL_SOCKET, SO_ERROR, &error, &length) || !error)
		return;
	journal_write(journal, JOURNAL_INFO, SLUICE_FACILITY_CAPTURE, "shard %u, interface %u: %s",
		      shard->id, shard->ifindex, sluice_error_text(error));
}

void packet_shard_woken(struct packet_shard *shard, short revents, struct journal *journal)
{
	if (revents & POLLERR)
		consume_error(shard, journal);
	if (revents & POLLIN)
		check_cursor(shard, journal);
}
