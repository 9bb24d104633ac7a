/*
 * How a packet thread's death is seen the moment it happens. A killed process closes its
 * channel only after all its threads have ended and all its memory is taken apart, which
 * is milliseconds of nobody at its rings. What the kernel does first when a thread ends
 * is its list of robust futexes: there it marks a word in the counters' memory, and wakes
 * whoever waits for it. By then that thread runs no more, so its rings may have another.
 *
 * The word is counter SLUICE_WORKER_LIFE: the thread's id and FUTEX_WAITERS while it lives.
 */
#ifndef SLUICE_LIFE_H
#define SLUICE_LIFE_H

#include <linux/futex.h>
#include <stddef.h>
#include <stdint.h>

/* Worker half. Lies in memory that is there until the thread has ended. */
struct life {
	struct robust_list_head head;
	struct robust_list entry;
};

/* By the packet thread, once. This thread can have no robust mutexes of the C library then. */
void life_begin(struct life *life, uint64_t *counters);

/* Supervisor half: ends the thread that watches, and forgets whom it watched. */
void life_watch_stop(void);

#endif
