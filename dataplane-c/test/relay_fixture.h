/* What the tests of a worker share: one rig with one sender, and its counters by name. */
#ifndef SLUICE_RELAY_FIXTURE_H
#define SLUICE_RELAY_FIXTURE_H

#include "relay_traffic.h"

#define SHARD 9u

/* Egress slots. */
#define SLOT         0u
#define SLOT_PLAIN   1u /* forced: no UDP_SEGMENT */
#define SLOT_REFUSE  2u /* the kernel refuses UDP_SEGMENT */
#define SLOT_UNICAST 3u
#define SLOT_ABSENT  4u /* no socket */

extern struct rig rig;
extern int sender;

/* A rig with its shard attached and all slots but SLOT_ABSENT. */
void relay_open(bool vnet);
/* Prints the worker's log lines if there were failures. */
void relay_close(unsigned failures);

/* One rule with one output, both of this number. */
int install_one(uint32_t number, uint32_t slot);

uint64_t rule_counter(uint32_t number, uint32_t counter);
uint64_t output_counter(uint32_t number, uint32_t counter);
/* enum sluice_failure. */
uint64_t failed_by(uint32_t number, uint32_t reason);
uint64_t interface_counter(uint32_t counter);
/* Waits until the rule has forwarded that many, and no more. That is counted last in a batch. */
bool await_forwarded(uint32_t number, uint64_t packets);
/* Within 10 s the packet thread wakes up no more than an idle one does: ten times a second. */
bool comes_to_rest(void);
/* received = forwarded + dropped, and eligible = sent + failed. */
bool sums_hold(uint32_t rule, uint32_t output);

#endif
