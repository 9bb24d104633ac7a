#ifndef SLUICE_TIME_SLICE_H
#define SLUICE_TIME_SLICE_H

#include <stdint.h>

/*
 * Asks the scheduler to give the calling thread its turns in short slices, so that it
 * comes sooner after waking up on a core that others keep busy (EEVDF, Linux 6.12; no
 * effect before). It gets no more time than others, and needs no capability.
 * 0 or -errno, which a caller may well ignore.
 */
int time_slice_set(uint64_t slice_ns);

/*
 * Lets the calling thread run the moment it wakes up, before everything that is not of
 * this kind (SCHED_FIFO). For threads that do little and wait. Children don't inherit it.
 * 0 or -errno (-EPERM without CAP_SYS_NICE), which a caller may well ignore.
 */
int time_run_at_once(void);

#endif
