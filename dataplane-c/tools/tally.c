#include "tally.h"

#include "stream.h"

static bool same_source(const union socket_address *one, const union socket_address *other)
{
	if (one->any.sa_family != other->any.sa_family)
		return false;
	if (one->any.sa_family == AF_INET6)
		return one->v6.sin6_port == other->v6.sin6_port &&
		       IN6_ARE_ADDR_EQUAL(&one->v6.sin6_addr, &other->v6.sin6_addr);
	return one->v4.sin_port == other->v4.sin_port &&
	       one->v4.sin_addr.s_addr == other->v4.sin_addr.s_addr;
}

static void note_origin(struct tally *tally, size_t size, uint64_t sequence,
			const struct arrival *arrival)
{
	if (tally->received_packets == 0) {
		tally->lowest_sequence = sequence;
		tally->highest_sequence = sequence;
		tally->first_source = tally->last_source = arrival->source;
		tally->first_ttl = tally->last_ttl = arrival->ttl;
		tally->first_dscp = tally->last_dscp = arrival->dscp;
		tally->payload_bytes_min = tally->payload_bytes_max = size;
	}
	if (sequence < tally->lowest_sequence)
		tally->lowest_sequence = sequence;
	if (sequence > tally->highest_sequence)
		tally->highest_sequence = sequence;
	if (size < tally->payload_bytes_min)
		tally->payload_bytes_min = size;
	if (size > tally->payload_bytes_max)
		tally->payload_bytes_max = size;
	if (!same_source(&tally->last_source, &arrival->source))
		tally->source_changes++;
	if (tally->last_ttl != arrival->ttl)
		tally->ttl_changes++;
	if (tally->last_dscp != arrival->dscp)
		tally->dscp_changes++;
	tally->last_source = arrival->source;
	tally->last_ttl = arrival->ttl;
	tally->last_dscp = arrival->dscp;
}

void tally_datagram(struct tally *tally, const uint8_t *payload, size_t size,
		    const struct arrival *arrival)
{
	struct stream_header header;

	if (!stream_payload_read(payload, size, &header) || header.stream != tally->stream) {
		tally->foreign_packets++;
		return;
	}
	if (!stream_payload_verify(payload, size, &header)) {
		tally->corrupt_packets++;
		return;
	}
	note_origin(tally, size, header.sequence, arrival);
	tally->received_packets++;
	tally->received_bytes += size;

	const enum sequence_verdict verdict = sequence_window_mark(&tally->window, header.sequence);

	if (verdict == SEQUENCE_DUPLICATE) {
		tally->duplicated_packets++;
		return;
	}
	if (verdict == SEQUENCE_REORDERED)
		tally->reordered_packets++;
	/* The clocks of two hosts may disagree: a negative latency counts as none. */
	latency_histogram_record(&tally->latency, arrival->at_ns > header.sent_ns
							  ? arrival->at_ns - header.sent_ns
							  : 0);
}

uint64_t tally_distinct(const struct tally *tally)
{
	return tally->received_packets - tally->duplicated_packets;
}

uint64_t tally_lost(const struct tally *tally, uint64_t expected)
{
	const uint64_t distinct = tally_distinct(tally);

	if (expected == 0 && tally->received_packets > 0)
		expected = tally->highest_sequence + 1;
	return expected > distinct ? expected - distinct : 0;
}
