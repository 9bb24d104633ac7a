/*
 * A log-linear histogram of nanoseconds in fixed memory: 64 buckets per doubling, so that a percentile
 * is at most 1.6 % above the true value.
 */
#ifndef SLUICE_TOOLS_LATENCY_HISTOGRAM_H
#define SLUICE_TOOLS_LATENCY_HISTOGRAM_H

#include <stdint.h>

#define LATENCY_BUCKETS_PER_DOUBLING 64u
#define LATENCY_NS_MAX               ((UINT64_C(1) << 40) - 1) /* 18 minutes; longer counts as this */
#define LATENCY_BUCKET_COUNT         (35u * LATENCY_BUCKETS_PER_DOUBLING)

/* All zero is an empty histogram. Minimum and maximum are exact. */
struct latency_histogram {
	uint64_t count;
	uint64_t min_ns;
	uint64_t max_ns;
	uint64_t buckets[LATENCY_BUCKET_COUNT];
};

void latency_histogram_record(struct latency_histogram *histogram, uint64_t latency_ns);

/* Adds all that other has recorded. */
void latency_histogram_merge(struct latency_histogram *histogram,
			     const struct latency_histogram *other);

/*
 * The smallest bucket bound that at least this fraction (0 to 1) of the values does not exceed; 0 if
 * there are none.
 */
uint64_t latency_histogram_quantile_ns(const struct latency_histogram *histogram, double fraction);

#endif
