/*
 * What is done about a send that the kernel refuses (the answers are in egress.h), and about
 * one that it would refuse: nothing here is on the way of what is sent.
 */
#ifndef SLUICE_EGRESS_REFUSAL_H
#define SLUICE_EGRESS_REFUSAL_H

#include "egress.h"

/* Logs it once per socket and error: what repeats is in the counters. */
void egress_report(struct egress *egress, struct egress_socket *socket, int error);

/* Message `index`, which has segments: each of them as a send of its own, and counted. */
void egress_send_plainly(struct egress *egress, struct egress_socket *socket, uint32_t index);

/*
 * The send of message `index` was refused for the `tries`th time. True: it is dealt with, and
 * counted. False: try it again.
 */
bool egress_answer_error(struct egress *egress, struct egress_socket *socket, uint32_t index,
			 int error, uint32_t tries);

#endif
