/* Which sequences of a stream have been seen: a bitmap over the most recent ones, of fixed size. */
#ifndef SLUICE_TOOLS_SEQUENCE_WINDOW_H
#define SLUICE_TOOLS_SEQUENCE_WINDOW_H

#include <stdint.h>

#define SEQUENCE_WINDOW_COUNT 131072u /* sequences told apart; 16 KiB per stream */

enum sequence_verdict {
	SEQUENCE_IN_ORDER,  /* higher than every one before */
	SEQUENCE_REORDERED, /* new, but lower than the highest before (RFC 4737 3.3) */
	SEQUENCE_DUPLICATE, /* seen before, or too old to tell: a replay is likelier than such a delay */
};

/* All zero is a window that has seen nothing. */
struct sequence_window {
	uint64_t next; /* highest sequence seen plus one */
	uint64_t seen[SEQUENCE_WINDOW_COUNT / 64];
};

/* Marks the sequence, which is below UINT64_MAX, as seen and says what it was. */
enum sequence_verdict sequence_window_mark(struct sequence_window *window, uint64_t sequence);

#endif
