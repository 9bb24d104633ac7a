/*
 * What arrived at one destination: every datagram falls into exactly one of intact, corrupt, foreign.
 */
#ifndef SLUICE_TOOLS_TALLY_H
#define SLUICE_TOOLS_TALLY_H

#include "endpoint.h"
#include "latency_histogram.h"
#include "sequence_window.h"

#include <stddef.h>
#include <stdint.h>

#define TALLY_NOT_SEEN (-1)

/* How a datagram came, as the kernel tells it. */
struct arrival {
	union socket_address source;
	int ttl;        /* 0 to 255, or TALLY_NOT_SEEN */
	int dscp;       /* 0 to 63, or TALLY_NOT_SEEN */
	uint64_t at_ns; /* CLOCK_REALTIME */
	size_t segment_bytes; /* of each but the last of several datagrams that were merged; 0: it is one */
};

struct tally {
	uint32_t stream; /* the id that belongs here */

	uint64_t received_packets; /* intact, duplicates included */
	uint64_t received_bytes;   /* of payload */
	uint64_t duplicated_packets;
	uint64_t reordered_packets;
	uint64_t
		corrupt_packets; /* our magic and stream, but not the bytes or the length that were sent */
	uint64_t foreign_packets; /* anything else */

	/* Of intact datagrams. Changes count datagrams that differ from the one before. */
	uint64_t lowest_sequence;
	uint64_t highest_sequence;
	union socket_address first_source;
	union socket_address last_source;
	uint64_t source_changes;
	int first_ttl, last_ttl;
	uint64_t ttl_changes;
	int first_dscp, last_dscp;
	uint64_t dscp_changes;
	size_t payload_bytes_min;
	size_t payload_bytes_max;

	struct sequence_window window;
	struct latency_histogram latency; /* of distinct intact datagrams */
};

/* Counts one datagram. */
void tally_datagram(struct tally *tally, const uint8_t *payload, size_t size,
		    const struct arrival *arrival);

/* Intact datagrams without their duplicates. */
uint64_t tally_distinct(const struct tally *tally);

/* Missing of the expected ones (0 = not known: of all up to the highest sequence seen). */
uint64_t tally_lost(const struct tally *tally, uint64_t expected);

#endif
