/* What every C test program says: failed expectations on stderr, exit 0, 1 or 77 (skipped). */
#ifndef SLUICE_EXPECT_H
#define SLUICE_EXPECT_H

#include <stdint.h>
#include <stdio.h>

#define EXIT_SKIPPED 77

static unsigned failures;

#define EXPECT(condition)                                                                         \
	do {                                                                                      \
		if (!(condition)) {                                                               \
			fprintf(stderr, "%s:%d: %s: expected %s\n", __FILE__, __LINE__, __func__, \
				#condition);                                                      \
			failures++;                                                               \
		}                                                                                 \
	} while (0)

#define EXPECT_EQUAL(actual, expected)                                                      \
	do {                                                                                \
		const int64_t actual_ = (int64_t)(actual);                                  \
		const int64_t expected_ = (int64_t)(expected);                              \
		if (actual_ != expected_) {                                                 \
			fprintf(stderr, "%s:%d: %s: %s is %lld, expected %lld\n", __FILE__, \
				__LINE__, __func__, #actual, (long long)actual_,            \
				(long long)expected_);                                      \
			failures++;                                                         \
		}                                                                           \
	} while (0)

#endif
