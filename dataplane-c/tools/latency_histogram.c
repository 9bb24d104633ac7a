#include "latency_histogram.h"

#define PER_DOUBLING LATENCY_BUCKETS_PER_DOUBLING
#define LINEAR_BITS  6u
_Static_assert(PER_DOUBLING == 1u << LINEAR_BITS, "bucket count and bits belong together");

static unsigned bucket_of(uint64_t value)
{
	if (value < PER_DOUBLING)
		return (unsigned)value;

	const unsigned shift = 63u - LINEAR_BITS - (unsigned)__builtin_clzll(value);

	return shift * PER_DOUBLING + (unsigned)(value >> shift);
}

static uint64_t highest_of(unsigned bucket)
{
	if (bucket < PER_DOUBLING)
		return bucket;

	const unsigned shift = bucket / PER_DOUBLING - 1;
	const uint64_t lead = bucket % PER_DOUBLING + PER_DOUBLING;

	return ((lead + 1) << shift) - 1;
}

void latency_histogram_record(struct latency_histogram *histogram, uint64_t latency_ns)
{
	if (latency_ns > LATENCY_NS_MAX)
		latency_ns = LATENCY_NS_MAX;
	if (histogram->count == 0 || latency_ns < histogram->min_ns)
		histogram->min_ns = latency_ns;
	if (latency_ns > histogram->max_ns)
		histogram->max_ns = latency_ns;
	histogram->count++;
	histogram->buckets[bucket_of(latency_ns)]++;
}

void latency_histogram_merge(struct latency_histogram *histogram,
			     const struct latency_histogram *other)
{
	if (other->count == 0)
		return;
	if (histogram->count == 0 || other->min_ns < histogram->min_ns)
		histogram->min_ns = other->min_ns;
	if (other->max_ns > histogram->max_ns)
		histogram->max_ns = other->max_ns;
	histogram->count += other->count;
	for (unsigned bucket = 0; bucket < LATENCY_BUCKET_COUNT; bucket++)
		histogram->buckets[bucket] += other->buckets[bucket];
}

uint64_t latency_histogram_quantile_ns(const struct latency_histogram *histogram, double fraction)
{
	const double exact = fraction * (double)histogram->count;
	const uint64_t whole = (uint64_t)exact;
	const uint64_t rank = whole == 0 || (double)whole < exact ? whole + 1 : whole;
	uint64_t passed = 0;

	for (unsigned bucket = 0; bucket < LATENCY_BUCKET_COUNT; bucket++) {
		passed += histogram->buckets[bucket];
		if (passed >= rank) {
			const uint64_t bound = highest_of(bucket);

			return bound < histogram->max_ns ? bound : histogram->max_ns;
		}
	}
	return histogram->max_ns;
}
