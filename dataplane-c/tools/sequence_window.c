#include "sequence_window.h"

#include <string.h>

/* A sequence's bit is at sequence modulo the window, so moving on means clearing what is passed. */
static void move_to(struct sequence_window *window, uint64_t sequence)
{
	if (sequence - window->next >= SEQUENCE_WINDOW_COUNT) {
		memset(window->seen, 0, sizeof(window->seen));
	} else {
		for (uint64_t passed = window->next; passed <= sequence; passed++) {
			const uint64_t slot = passed % SEQUENCE_WINDOW_COUNT;

			window->seen[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
		}
	}
	window->next = sequence + 1;
}

enum sequence_verdict sequence_window_mark(struct sequence_window *window, uint64_t sequence)
{
	const uint64_t slot = sequence % SEQUENCE_WINDOW_COUNT;
	const uint64_t bit = UINT64_C(1) << (slot % 64);
	uint64_t *word = &window->seen[slot / 64];

	if (sequence >= window->next) {
		move_to(window, sequence);
		*word |= bit;
		return SEQUENCE_IN_ORDER;
	}
	if (window->next - sequence > SEQUENCE_WINDOW_COUNT || (*word & bit))
		return SEQUENCE_DUPLICATE;
	*word |= bit;
	return SEQUENCE_REORDERED;
}
