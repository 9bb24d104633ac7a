/* What the fuzz targets share. Each is a libFuzzer program of one file. */
#ifndef SLUICE_FUZZ_H
#define SLUICE_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);
int LLVMFuzzerInitialize(const int *argc, char ***argv);

/* What must be true of every input: anything else is a finding, with its input saved. */
#define HOLDS(condition)                                                                  \
	do {                                                                              \
		if (!(condition)) {                                                       \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, \
				#condition);                                              \
			abort();                                                          \
		}                                                                         \
	} while (0)

/* Memory of exactly `count` bytes, so that AddressSanitizer sees one byte too far. */
static inline void *fuzz_copy(const uint8_t *bytes, size_t count)
{
	uint8_t *copy = malloc(count ? count : 1);

	HOLDS(copy);
	if (count)
		memcpy(copy, bytes, count);
	return copy;
}

#endif
