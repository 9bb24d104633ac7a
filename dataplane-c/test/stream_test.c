/* Payload pattern, sequence window and latency histogram of the traffic tools. */
#include "../tools/latency_histogram.h"
#include "../tools/sequence_window.h"
#include "../tools/stream.h"
#include "expect.h"

#include <stdlib.h>
#include <string.h>

static uint8_t payload[STREAM_PAYLOAD_BYTES_MAX + 1];

static bool verifies(size_t size)
{
	struct stream_header header;

	return stream_payload_read(payload, size, &header) &&
	       stream_payload_verify(payload, size, &header);
}

static void a_written_payload_reads_back_and_verifies_at_every_size(void)
{
	for (size_t size = STREAM_HEADER_BYTES; size <= STREAM_PAYLOAD_BYTES_MAX;
	     size += size < 2000 ? 1 : 509) {
		struct stream_header header;

		payload[size] = 0xa5;
		stream_payload_write(payload, size, 7, UINT64_C(0x123456789a));
		stream_payload_stamp(payload, UINT64_C(0x1122334455667788));
		EXPECT(payload[size] == 0xa5);
		EXPECT(stream_payload_read(payload, size, &header));
		EXPECT(header.stream == 7);
		EXPECT(header.sequence == UINT64_C(0x123456789a));
		EXPECT(header.sent_ns == UINT64_C(0x1122334455667788));
		EXPECT(stream_payload_verify(payload, size, &header));
	}
}

static void the_header_is_little_endian(void)
{
	static const uint8_t expected[STREAM_HEADER_BYTES] = {
		'S', 'L', 'C', '1', 4, 3, 2, 1, 8, 7, 6, 5, 4, 3, 2, 1, 9, 0, 0, 0, 0, 0, 0, 0,
	};

	stream_payload_write(payload, STREAM_HEADER_BYTES, 0x01020304,
			     UINT64_C(0x0102030405060708));
	stream_payload_stamp(payload, 9);
	EXPECT(memcmp(payload, expected, sizeof(expected)) == 0);
}

static void every_changed_bit_fails_to_verify(void)
{
	const size_t size = 203; /* blocks, a word and three bytes */

	stream_payload_write(payload, size, 3, 99);
	for (size_t bit = 0; bit < size * 8; bit++) {
		const bool send_time = bit >= 16 * 8 && bit < 24 * 8;

		payload[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		EXPECT(verifies(size) == send_time);
		payload[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	EXPECT(verifies(size));
}

static void a_cut_or_padded_payload_fails_to_verify(void)
{
	for (size_t size = STREAM_HEADER_BYTES + 1; size < 1500; size++) {
		if (size == 1400)
			continue;
		memset(payload, 0, 1500);
		stream_payload_write(payload, 1400, 0, 5);
		EXPECT(!verifies(size));
	}
	EXPECT(!verifies(STREAM_HEADER_BYTES - 1));
	EXPECT(!verifies(0));
}

static void two_streams_and_two_sequences_share_no_word(void)
{
	static uint8_t other[1400];

	stream_payload_write(payload, 1400, 1, 2);
	stream_payload_write(other, 1400, 2, 1);
	for (size_t offset = STREAM_HEADER_BYTES; offset < 1400; offset += 8)
		EXPECT(memcmp(payload + offset, other + offset, 8) != 0);
}

static void sequences_are_told_apart_in_order_reordered_and_duplicate(void)
{
	struct sequence_window *window = calloc(1, sizeof(*window));

	if (!window)
		abort();
	EXPECT(sequence_window_mark(window, 0) == SEQUENCE_IN_ORDER);
	EXPECT(sequence_window_mark(window, 0) == SEQUENCE_DUPLICATE);
	EXPECT(sequence_window_mark(window, 3) == SEQUENCE_IN_ORDER);
	EXPECT(sequence_window_mark(window, 1) == SEQUENCE_REORDERED);
	EXPECT(sequence_window_mark(window, 1) == SEQUENCE_DUPLICATE);
	EXPECT(sequence_window_mark(window, 3) == SEQUENCE_DUPLICATE);
	EXPECT(sequence_window_mark(window, 2) == SEQUENCE_REORDERED);
	EXPECT(sequence_window_mark(window, 4) == SEQUENCE_IN_ORDER);
	free(window);
}

static void the_window_moves_on_and_forgets(void)
{
	const uint64_t count = SEQUENCE_WINDOW_COUNT;
	struct sequence_window *window = calloc(1, sizeof(*window));

	if (!window)
		abort();
	for (uint64_t sequence = 0; sequence < 3 * count; sequence++)
		EXPECT(sequence_window_mark(window, sequence) == SEQUENCE_IN_ORDER);
	EXPECT(sequence_window_mark(window, 2 * count) == SEQUENCE_DUPLICATE);
	EXPECT(sequence_window_mark(window, 2 * count - 1) == SEQUENCE_DUPLICATE);

	/* A jump within the window leaves its gap open, a longer one leaves a whole window open. */
	EXPECT(sequence_window_mark(window, 4 * count - 1) == SEQUENCE_IN_ORDER);
	EXPECT(sequence_window_mark(window, 3 * count) == SEQUENCE_REORDERED);
	EXPECT(sequence_window_mark(window, 9 * count) == SEQUENCE_IN_ORDER);
	EXPECT(sequence_window_mark(window, 8 * count) == SEQUENCE_DUPLICATE); /* one too old */
	EXPECT(sequence_window_mark(window, 8 * count + 1) == SEQUENCE_REORDERED);
	EXPECT(sequence_window_mark(window, 8 * count + 1) == SEQUENCE_DUPLICATE);
	EXPECT(sequence_window_mark(window, 9 * count - 1) == SEQUENCE_REORDERED);
	free(window);
}

static void quantiles_are_within_two_percent_and_extremes_exact(void)
{
	struct latency_histogram *histogram = calloc(1, sizeof(*histogram));
	static const double fractions[] = { 0.001, 0.25, 0.5, 0.9, 0.99, 0.999 };

	if (!histogram)
		abort();
	EXPECT(latency_histogram_quantile_ns(histogram, 0.5) == 0);
	for (uint64_t value = 1; value <= 1000000; value++)
		latency_histogram_record(histogram, value);
	EXPECT(histogram->min_ns == 1);
	EXPECT(histogram->max_ns == 1000000);
	for (size_t index = 0; index < sizeof(fractions) / sizeof(fractions[0]); index++) {
		const double truth = fractions[index] * 1e6;
		const double found =
			(double)latency_histogram_quantile_ns(histogram, fractions[index]);

		EXPECT(found >= truth && found <= truth * 1.016 + 1);
	}
	EXPECT(latency_histogram_quantile_ns(histogram, 1) == 1000000);
	free(histogram);
}

static void every_value_falls_into_a_bucket_that_holds_it(void)
{
	for (uint64_t value = 0; value < UINT64_C(1) << 60;
	     value = value < 300 ? value + 1 : value * 9 / 8) {
		struct latency_histogram histogram = { 0 };
		const uint64_t kept = value > LATENCY_NS_MAX ? LATENCY_NS_MAX : value;

		latency_histogram_record(&histogram, value);
		histogram.max_ns = UINT64_MAX; /* shows the bucket's own bound */
		const uint64_t bound = latency_histogram_quantile_ns(&histogram, 0.5);
		EXPECT(bound >= kept && bound - kept <= kept / 64);
	}
}

static void merging_is_recording_both(void)
{
	struct latency_histogram *sum = calloc(3, sizeof(*sum));

	if (!sum)
		abort();
	latency_histogram_merge(sum, sum + 1);
	EXPECT(sum->count == 0);
	latency_histogram_record(sum + 1, 10);
	latency_histogram_record(sum + 2, 5);
	latency_histogram_record(sum + 2, 50);
	latency_histogram_merge(sum, sum + 1);
	latency_histogram_merge(sum, sum + 2);
	EXPECT(sum->count == 3 && sum->min_ns == 5 && sum->max_ns == 50);
	EXPECT(latency_histogram_quantile_ns(sum, 0.5) == 10);
	free(sum);
}

int main(void)
{
	a_written_payload_reads_back_and_verifies_at_every_size();
	the_header_is_little_endian();
	every_changed_bit_fails_to_verify();
	a_cut_or_padded_payload_fails_to_verify();
	two_streams_and_two_sequences_share_no_word();
	sequences_are_told_apart_in_order_reordered_and_duplicate();
	the_window_moves_on_and_forgets();
	quantiles_are_within_two_percent_and_extremes_exact();
	every_value_falls_into_a_bucket_that_holds_it();
	merging_is_recording_both();
	return failures ? 1 : 0;
}
