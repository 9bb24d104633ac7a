/*
 * What became of one message, in the counters of its output: for egress.c, where it was sent,
 * and egress_refusal.c, where it was not.
 */
#ifndef SLUICE_EGRESS_COUNT_H
#define SLUICE_EGRESS_COUNT_H

#include "egress.h"

static inline void egress_count_sent(const struct egress *egress,
				     const struct egress_account *account)
{
	uint64_t *steps = egress->counters + SLUICE_WORKER_SEGMENTS_PER_SEND;
	struct ledger *ledger = egress->ledger;

	ledger_add(ledger, &account->output[SLUICE_OUTPUT_ELIGIBLE_PACKETS], account->datagrams);
	ledger_add(ledger, &account->output[SLUICE_OUTPUT_SENT_PACKETS], account->datagrams);
	ledger_add(ledger, &account->output[SLUICE_OUTPUT_SENT_BYTES], account->bytes);
	ledger_add(ledger, &steps[histogram_step(account->datagrams)], 1);
	ledger_settle(ledger, account->datagrams);
}

static inline void egress_count_failed(const struct egress *egress,
				       const struct egress_account *account, int error)
{
	struct ledger *ledger = egress->ledger;

	ledger_add(ledger, &account->output[SLUICE_OUTPUT_ELIGIBLE_PACKETS], account->datagrams);
	ledger_add(ledger, &account->output[SLUICE_OUTPUT_FAILED_PACKETS], account->datagrams);
	ledger_add(ledger, &account->output[SLUICE_OUTPUT_FAILED_BY_REASON + failure_of(error)],
		   account->datagrams);
	ledger_settle(ledger, account->datagrams);
}

#endif
