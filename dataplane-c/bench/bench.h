/*
 * A micro-benchmark: the median of several rounds, in nanoseconds per operation.
 *
 * On a shared machine the time wavers; instructions do not. To see where they go:
 *   BENCH_OPERATIONS=10000 BENCH_ONLY='parse, 64' valgrind --tool=callgrind build/bench/parse_bench
 *   callgrind_annotate --inclusive=yes callgrind.out.PID
 * tests/bench/instructions.test.ts holds how many there may be.
 */
#ifndef SLUICE_BENCH_H
#define SLUICE_BENCH_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BENCH_ROUNDS     15
#define BENCH_OPERATIONS 2000000u /* unless the environment says otherwise */

static inline double bench_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static inline int bench_compare(const void *left, const void *right)
{
	double a = *(const double *)left;
	double b = *(const double *)right;

	return a < b ? -1 : a > b;
}

/*
 * `run` does so many operations and returns something that depends on each of them. What
 * takes long is done `fewer` times less often. The environment may choose one by the
 * beginning of its name.
 */
static inline void bench_some(const char *name, uint64_t (*run)(uint32_t operations),
			      uint32_t fewer)
{
	const char *wanted = getenv("BENCH_OPERATIONS");
	const char *only = getenv("BENCH_ONLY");
	const uint32_t asked = wanted ? (uint32_t)strtoul(wanted, NULL, 10) : BENCH_OPERATIONS;
	const uint32_t operations = asked / fewer ? asked / fewer : 1;
	double rounds[BENCH_ROUNDS];
	uint64_t result;

	if (only && strncmp(name, only, strlen(only)) != 0)
		return;
	result = run(operations); /* warms the caches */

	for (int round = 0; round < BENCH_ROUNDS; round++) {
		double start = bench_now_ns();

		result ^= run(operations);
		rounds[round] = (bench_now_ns() - start) / operations;
	}
	qsort(rounds, BENCH_ROUNDS, sizeof(rounds[0]), bench_compare);
	/* The result is printed, so that no compiler leaves the work out. */
	printf("%-44s %6.1f ns/op (best %.1f)  [%016llx]\n", name, rounds[BENCH_ROUNDS / 2],
	       rounds[0], (unsigned long long)result);
}

static inline void bench(const char *name, uint64_t (*run)(uint32_t operations))
{
	bench_some(name, run, 1);
}

#endif
