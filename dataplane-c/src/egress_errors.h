/*
 * What the kernel and the network say of datagrams that did not arrive.
 *
 * An error of the send itself has a reason (enum sluice_failure). An ICMP message comes
 * later, when the datagram is counted as sent: it lies in the socket's error queue, with
 * the destination that it speaks of, and is counted apart, at the output (or the outputs)
 * with that destination on that socket.
 *
 * Whoever can forge ICMP messages can fill the queues with destinations of their choice:
 * what is taken and kept at a time is limited, and outputs are looked for once per sample.
 */
#ifndef SLUICE_EGRESS_ERRORS_H
#define SLUICE_EGRESS_ERRORS_H

#include <stdbool.h>

#include "sluice.h"
#include "table.h"

/* Different destinations until the next sample; answers of further ones are not counted. */
#define ANSWERS_DESTINATIONS 32u

/* So often a send is tried that answers to others refuse. */
#define ANSWERS_TRIES 16u

struct answers {
	uint32_t count;
	struct {
		uint32_t egress_slot;
		uint32_t destination_be;
		uint16_t port_be;
		uint32_t answers;
	} from[ANSWERS_DESTINATIONS];
};

/* Why a send failed; error is positive. */
enum sluice_failure failure_of(int error);

/*
 * Is a send that was refused for the `tries`th time to be tried again? The error of an
 * answer to an earlier datagram is reported on a later send, whatever that is for.
 */
bool answers_allow_retry(struct answers *answers, uint32_t egress_slot, int fd, int error,
			 uint32_t tries);

/* Takes at most `limit` messages from the error queue of a slot's socket; how many there were. */
uint32_t answers_take(struct answers *answers, uint32_t egress_slot, int fd, uint32_t limit);
/* Counts them at their outputs, and forgets them. */
void answers_count(struct answers *answers, const struct table *table, uint64_t *counters);

#endif
