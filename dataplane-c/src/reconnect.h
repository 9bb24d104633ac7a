/* The channel over a supervisor's death. All of it is the packet thread's. */
#ifndef SLUICE_RECONNECT_H
#define SLUICE_RECONNECT_H

#include "worker.h"

/* The first connection: for 5 s, and says HELLO. 0 or -errno. */
int connect_patiently(struct sluice_worker *worker);

/*
 * The channel is gone. 0: the worker goes on without, `reconnect` is to be called now and
 * then; -ENOTCONN: it has nothing to go on with.
 */
int cut_off(struct sluice_worker *worker, uint64_t now_ns);

/*
 * Tries again, at most each 10 ms, as long as it has no channel. -ENOTCONN: no supervisor
 * has said anything for 60 s, connected or not.
 */
int reconnect(struct sluice_worker *worker, uint64_t now_ns);

/* A command came: this supervisor is one. */
void heard(struct sluice_worker *worker);

#endif
