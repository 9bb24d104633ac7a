/*
 * Tells from a worker's counters whether its packet thread works: its heart beats with each
 * round of the duty cycle, which come each 500 ms when it idles. Looks are counted, not time: when
 * the whole machine stood still, so did whoever looks.
 */
#ifndef SLUICE_PULSE_H
#define SLUICE_PULSE_H

#include <stdint.h>
#include <sys/types.h>

#include "sluice.h"

struct pulse {
	uint64_t heartbeat, batches;
	uint32_t still_looks; /* in a row */
};

enum pulse_finding {
	PULSE_IDLES, /* since the last look it beat, and no packet came; or it has never beaten */
	PULSE_WORKS,
	PULSE_STANDS_STILL
};

enum pulse_finding pulse_look(struct pulse *pulse, const uint64_t *counters);

/*
 * Why one that stands still counts as hung; 0: it does not. A few looks without a beat mean
 * nothing yet; a process that was stopped may not go on, and its rings are filling: the
 * supervisor looks once more.
 */
uint32_t pulse_hang(const struct pulse *pulse, pid_t pid);

#endif
