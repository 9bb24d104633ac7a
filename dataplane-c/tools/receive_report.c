#include "receive_report.h"

#include <inttypes.h>
#include <stdio.h>

#define NS_PER_US 1e3
#define NS_PER_S  1e9

struct totals {
	uint64_t received_packets;
	uint64_t received_bytes;
	uint64_t lost_packets;
	uint64_t duplicated_packets;
	uint64_t reordered_packets;
	uint64_t corrupt_packets;
	uint64_t foreign_packets;
	uint64_t receiver_dropped_packets;
};

static const char *const end_names[] = {
	[RECEIVER_RUNNING] = "error",    [RECEIVER_EXPECTED] = "expect",
	[RECEIVER_DURATION] = "seconds", [RECEIVER_IDLE] = "idle",
	[RECEIVER_SIGNAL] = "signal",
};

static struct totals totals_of(const struct receiver *receiver, unsigned destination)
{
	const struct tally *tally = &receiver->tallies[destination];

	return (struct totals){
		.received_packets = tally->received_packets,
		.received_bytes = tally->received_bytes,
		.lost_packets = tally_lost(tally, receiver->settings.expect),
		.duplicated_packets = tally->duplicated_packets,
		.reordered_packets = tally->reordered_packets,
		.corrupt_packets = tally->corrupt_packets,
		.foreign_packets = tally->foreign_packets,
		.receiver_dropped_packets = receiver_drops(receiver, destination),
	};
}

static void add(struct totals *sum, const struct totals *other)
{
	sum->received_packets += other->received_packets;
	sum->received_bytes += other->received_bytes;
	sum->lost_packets += other->lost_packets;
	sum->duplicated_packets += other->duplicated_packets;
	sum->reordered_packets += other->reordered_packets;
	sum->corrupt_packets += other->corrupt_packets;
	sum->foreign_packets += other->foreign_packets;
	sum->receiver_dropped_packets += other->receiver_dropped_packets;
}

/* Sums over all destinations; the latencies go into a histogram of 18 KB that is the caller's. */
static struct totals sum_all(const struct receiver *receiver, struct latency_histogram *latency)
{
	struct totals sum = { 0 };

	for (unsigned index = 0; index < receiver->settings.destinations; index++) {
		const struct totals one = totals_of(receiver, index);

		add(&sum, &one);
		latency_histogram_merge(latency, &receiver->tallies[index].latency);
	}
	return sum;
}

static double seconds_between_arrivals(const struct receiver *receiver)
{
	return (double)(receiver->last_arrival_ns - receiver->first_arrival_ns) / NS_PER_S;
}

static double packets_per_second(const struct receiver *receiver, uint64_t packets)
{
	const double seconds = seconds_between_arrivals(receiver);

	return seconds > 0 ? (double)packets / seconds : 0;
}

static double quantile_us(const struct latency_histogram *latency, double fraction)
{
	return (double)latency_histogram_quantile_ns(latency, fraction) / NS_PER_US;
}

static void print_json_counts(const struct totals *totals)
{
	printf("\"receivedPackets\":\"%" PRIu64 "\",\"receivedBytes\":\"%" PRIu64
	       "\",\"lostPackets\":\"%" PRIu64 "\",\"duplicatedPackets\":\"%" PRIu64
	       "\",\"reorderedPackets\":\"%" PRIu64 "\",\"corruptPackets\":\"%" PRIu64
	       "\",\"foreignPackets\":\"%" PRIu64 "\",\"receiverDroppedPackets\":\"%" PRIu64 "\"",
	       totals->received_packets, totals->received_bytes, totals->lost_packets,
	       totals->duplicated_packets, totals->reordered_packets, totals->corrupt_packets,
	       totals->foreign_packets, totals->receiver_dropped_packets);
}

static void print_json_latency(const struct latency_histogram *latency)
{
	if (latency->count == 0) {
		printf(",\"latencyMicroseconds\":null");
		return;
	}
	printf(",\"latencyMicroseconds\":{\"min\":%.3f,\"p50\":%.3f,\"p99\":%.3f,\"p999\":%.3f,"
	       "\"max\":%.3f}",
	       (double)latency->min_ns / NS_PER_US, quantile_us(latency, 0.5),
	       quantile_us(latency, 0.99), quantile_us(latency, 0.999),
	       (double)latency->max_ns / NS_PER_US);
}

static void print_json_number_or_null(const char *name, int value)
{
	if (value == TALLY_NOT_SEEN)
		printf(",\"%s\":null", name);
	else
		printf(",\"%s\":%d", name, value);
}

static void print_json_origin(const struct tally *tally)
{
	char source[INET6_ADDRSTRLEN];

	if (tally->received_packets == 0) {
		printf(",\"lowestSequence\":null,\"highestSequence\":null,"
		       "\"sourceAddress\":null,\"sourcePort\":null,\"ttl\":null,\"dscp\":null,"
		       "\"payloadBytesMin\":null,\"payloadBytesMax\":null");
	} else {
		address_format_host(&tally->first_source, source);
		printf(",\"lowestSequence\":\"%" PRIu64 "\",\"highestSequence\":\"%" PRIu64
		       "\",\"sourceAddress\":\"%s\",\"sourcePort\":%u",
		       tally->lowest_sequence, tally->highest_sequence, source,
		       address_port(&tally->first_source));
		print_json_number_or_null("ttl", tally->first_ttl);
		print_json_number_or_null("dscp", tally->first_dscp);
		printf(",\"payloadBytesMin\":%zu,\"payloadBytesMax\":%zu", tally->payload_bytes_min,
		       tally->payload_bytes_max);
	}
	printf(",\"sourceChanges\":\"%" PRIu64 "\",\"ttlChanges\":\"%" PRIu64
	       "\",\"dscpChanges\":\"%" PRIu64 "\"",
	       tally->source_changes, tally->ttl_changes, tally->dscp_changes);
}

static void print_json_stream(const struct receiver *receiver, unsigned index)
{
	const struct tally *tally = &receiver->tallies[index];
	const union socket_address destination =
		endpoint_destination(&receiver->settings.in, index);
	const struct totals totals = totals_of(receiver, index);
	char text[ADDRESS_TEXT_BYTES];

	address_format(&destination, text);
	printf("{\"stream\":%" PRIu32 ",\"destination\":\"%s\",", tally->stream, text);
	print_json_counts(&totals);
	print_json_origin(tally);
	print_json_latency(&tally->latency);
	printf("}");
}

void receive_report_json(const struct receiver *receiver)
{
	struct latency_histogram latency = { 0 };
	const struct totals sum = sum_all(receiver, &latency);

	printf("{");
	print_json_counts(&sum);
	print_json_latency(&latency);
	printf(",\"seconds\":%.6f,\"packetsPerSecond\":%.1f,\"endedBy\":\"%s\",\"streams\":[",
	       seconds_between_arrivals(receiver),
	       packets_per_second(receiver, sum.received_packets), end_names[receiver->end]);
	for (unsigned index = 0; index < receiver->settings.destinations; index++) {
		if (index > 0)
			printf(",");
		print_json_stream(receiver, index);
	}
	printf("]}\n");
}

static void print_text_counts(const struct totals *totals)
{
	printf("received %" PRIu64 ", lost %" PRIu64 ", duplicated %" PRIu64 ", reordered %" PRIu64
	       ", corrupt %" PRIu64 ", foreign %" PRIu64,
	       totals->received_packets, totals->lost_packets, totals->duplicated_packets,
	       totals->reordered_packets, totals->corrupt_packets, totals->foreign_packets);
	if (totals->receiver_dropped_packets)
		printf(", dropped by the receiving socket %" PRIu64,
		       totals->receiver_dropped_packets);
}

static void print_text_latency(const struct latency_histogram *latency)
{
	if (latency->count)
		printf("; latency µs min %.1f p50 %.1f p99 %.1f p99.9 %.1f max %.1f",
		       (double)latency->min_ns / NS_PER_US, quantile_us(latency, 0.5),
		       quantile_us(latency, 0.99), quantile_us(latency, 0.999),
		       (double)latency->max_ns / NS_PER_US);
}

static void print_text_stream(const struct receiver *receiver, unsigned index)
{
	const struct tally *tally = &receiver->tallies[index];
	const union socket_address destination =
		endpoint_destination(&receiver->settings.in, index);
	const struct totals totals = totals_of(receiver, index);
	char text[ADDRESS_TEXT_BYTES];

	address_format(&destination, text);
	printf("  %s stream %" PRIu32 ": ", text, tally->stream);
	print_text_counts(&totals);
	if (tally->received_packets) {
		address_format(&tally->first_source, text);
		printf("; from %s ttl %d dscp %d", text, tally->first_ttl, tally->first_dscp);
		if (tally->source_changes)
			printf(" (source changed %" PRIu64 " times)", tally->source_changes);
	}
	print_text_latency(&tally->latency);
	printf("\n");
}

void receive_report_text(const struct receiver *receiver)
{
	struct latency_histogram latency = { 0 };
	const struct totals sum = sum_all(receiver, &latency);

	print_text_counts(&sum);
	printf("; %.0f/s", packets_per_second(receiver, sum.received_packets));
	print_text_latency(&latency);
	printf("\n");
	for (unsigned index = 0; index < receiver->settings.destinations; index++)
		print_text_stream(receiver, index);
}
