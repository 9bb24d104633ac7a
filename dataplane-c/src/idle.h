/*
 * What a packet thread does when nothing is ready: look again for some microseconds,
 * then sleep in poll. Looking pays when datagrams come closer together than a wake-up
 * costs, and is wasted otherwise; so its length follows its success. Whoever asks for it
 * has a thread that always looks, or never does (enum sluice_idle).
 */
#ifndef SLUICE_IDLE_H
#define SLUICE_IDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice.h"

#define IDLE_SPIN_MAX_NS  20000u
#define IDLE_SPIN_MIN_NS  2000u
/* With no success for long, every so many idle phases one look tells whether times changed. */
#define IDLE_PROBE_PERIOD 64u
/* Who never sleeps still has to see commands, and what poll says of the sockets. */
#define IDLE_ALWAYS_NS    1000000u

struct idle {
	uint32_t spin_ns; /* 0: not worth it now */
	uint32_t phases;
};

/* How long to look this time. */
static inline uint32_t idle_spin_ns(struct idle *idle, uint32_t strategy)
{
	if (strategy == SLUICE_IDLE_BLOCK)
		return 0;
	if (strategy == SLUICE_IDLE_SPIN)
		return IDLE_ALWAYS_NS;
	if (idle->spin_ns)
		return idle->spin_ns;
	return ++idle->phases % IDLE_PROBE_PERIOD ? 0 : IDLE_SPIN_MIN_NS;
}

/* It was looked for `spun_ns`; was anything found? */
static inline void idle_learn(struct idle *idle, uint32_t spun_ns, bool found)
{
	if (found) {
		idle->spin_ns = 2 * spun_ns < IDLE_SPIN_MAX_NS ? 2 * spun_ns : IDLE_SPIN_MAX_NS;
		if (idle->spin_ns < IDLE_SPIN_MIN_NS)
			idle->spin_ns = IDLE_SPIN_MIN_NS;
	} else {
		idle->spin_ns = idle->spin_ns / 2 < IDLE_SPIN_MIN_NS ? 0 : idle->spin_ns / 2;
	}
}

#endif
