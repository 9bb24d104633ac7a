/*
 * Counters: aligned u64 in shared memory with one writer, the packet thread.
 * Relaxed atomics, so that a reader in another thread or process never sees half
 * a value; nothing orders one counter against another.
 */
#ifndef SLUICE_COUNTERS_H
#define SLUICE_COUNTERS_H

#include "sluice.h"

/* One writer: a load and a store, no locked instruction. */
/* clang-tidy does not see that the builtin writes. NOLINTNEXTLINE(readability-non-const-parameter) */
static inline void counter_add(uint64_t *counter, uint64_t amount)
{
	uint64_t value = __atomic_load_n(counter, __ATOMIC_RELAXED);

	__atomic_store_n(counter, value + amount, __ATOMIC_RELAXED);
}

/* NOLINTNEXTLINE(readability-non-const-parameter) */
static inline void counter_set(uint64_t *counter, uint64_t value)
{
	__atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

static inline uint64_t counter_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* Step of a histogram with the steps 1, 2, 3-4, 5-8, …: ⌈log2 count⌉, the last one open. */
static inline uint32_t histogram_step(uint32_t count)
{
	uint32_t step = count <= 1 ? 0 : 32u - (uint32_t)__builtin_clz(count - 1);

	return step < SLUICE_HISTOGRAM_STEPS ? step : SLUICE_HISTOGRAM_STEPS - 1;
}

#endif
