/* How sluice-recv classifies a datagram, and what it calls lost. */
#include "../tools/stream.h"
#include "../tools/tally.h"
#include "expect.h"

#include <arpa/inet.h>
#include <stdlib.h>

static struct tally *new_tally(uint32_t stream)
{
	struct tally *tally = calloc(1, sizeof(*tally));

	if (!tally)
		abort();
	tally->stream = stream;
	return tally;
}

static struct arrival arrival_from(const char *address, uint16_t port)
{
	struct arrival arrival = { .ttl = 16, .dscp = 46, .at_ns = 5000 };

	if (!address_parse(address, &arrival.source))
		abort();
	arrival.source.v4.sin_port = htons(port);
	return arrival;
}

static void take(struct tally *tally, uint32_t stream, uint64_t sequence, size_t size,
		 const struct arrival *arrival)
{
	uint8_t payload[1500];

	stream_payload_write(payload, size, stream, sequence);
	stream_payload_stamp(payload, 2000);
	tally_datagram(tally, payload, size, arrival);
}

static void a_datagram_is_intact_corrupt_or_foreign(void)
{
	struct tally *tally = new_tally(4);
	const struct arrival arrival = arrival_from("10.0.0.1", 5001);
	uint8_t payload[100];

	take(tally, 4, 0, 100, &arrival);
	take(tally, 5, 0, 100, &arrival); /* another stream */
	stream_payload_write(payload, sizeof(payload), 4, 1);
	tally_datagram(tally, payload, 99, &arrival); /* cut */
	tally_datagram(tally, payload, 23, &arrival); /* not even a header */
	tally_datagram(tally, payload, 0, &arrival);
	payload[60] ^= 1;
	tally_datagram(tally, payload, 100, &arrival); /* changed */
	payload[0] ^= 1;
	tally_datagram(tally, payload, 100, &arrival); /* not ours */
	EXPECT(tally->received_packets == 1);
	EXPECT(tally->received_bytes == 100);
	EXPECT(tally->corrupt_packets == 2);
	EXPECT(tally->foreign_packets == 4);
	EXPECT(tally->latency.count == 1 && tally->latency.min_ns == 3000);
	free(tally);
}

static void lost_is_what_lacks_of_the_expected_or_below_the_highest(void)
{
	struct tally *tally = new_tally(0);
	const struct arrival arrival = arrival_from("10.0.0.1", 5001);

	EXPECT(tally_lost(tally, 0) == 0);
	EXPECT(tally_lost(tally, 10) == 10);
	take(tally, 0, 0, 24, &arrival);
	take(tally, 0, 4, 24, &arrival);
	take(tally, 0, 4, 24, &arrival); /* duplicate */
	take(tally, 0, 2, 24, &arrival); /* reordered */
	EXPECT(tally_distinct(tally) == 3);
	EXPECT(tally->duplicated_packets == 1);
	EXPECT(tally->reordered_packets == 1);
	EXPECT(tally->latency.count == 3);
	EXPECT(tally_lost(tally, 0) == 2);
	EXPECT(tally_lost(tally, 10) == 7);
	EXPECT(tally_lost(tally, 3) == 0);
	EXPECT(tally_lost(tally, 2) == 0);
	free(tally);
}

static void the_origin_is_the_first_and_changes_are_counted(void)
{
	struct tally *tally = new_tally(0);
	const struct arrival one = arrival_from("10.0.0.1", 5001);
	struct arrival other = arrival_from("10.0.0.1", 5002);

	other.ttl = 15;
	take(tally, 0, 7, 50, &one);
	take(tally, 0, 8, 24, &other);
	take(tally, 0, 9, 70, &other);
	take(tally, 0, 6, 50, &one);
	EXPECT(address_port(&tally->first_source) == 5001);
	EXPECT(tally->source_changes == 2);
	EXPECT(tally->first_ttl == 16 && tally->ttl_changes == 2);
	EXPECT(tally->first_dscp == 46 && tally->dscp_changes == 0);
	EXPECT(tally->lowest_sequence == 6 && tally->highest_sequence == 9);
	EXPECT(tally->payload_bytes_min == 24 && tally->payload_bytes_max == 70);
	free(tally);
}

static void a_clock_behind_the_senders_counts_as_no_latency(void)
{
	struct tally *tally = new_tally(0);
	struct arrival arrival = arrival_from("10.0.0.1", 5001);

	arrival.at_ns = 1999;
	take(tally, 0, 0, 24, &arrival);
	EXPECT(tally->latency.count == 1 && tally->latency.max_ns == 0);
	free(tally);
}

int main(void)
{
	a_datagram_is_intact_corrupt_or_foreign();
	lost_is_what_lacks_of_the_expected_or_below_the_highest();
	the_origin_is_the_first_and_changes_are_counted();
	a_clock_behind_the_senders_counts_as_no_latency();
	return failures ? 1 : 0;
}
