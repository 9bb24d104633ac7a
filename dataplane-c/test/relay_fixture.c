#include "relay_fixture.h"

#include <stdio.h>
#include <unistd.h>

struct rig rig;
int sender;

void relay_open(bool vnet)
{
	rig_open(&rig, vnet);
	rig_attach(&rig, SHARD);
	rig_add_egress(&rig, SLOT, 0);
	rig_add_egress(&rig, SLOT_PLAIN, SLUICE_EGRESS_NO_SEGMENTATION);
	rig_add_egress_refusing(&rig, SLOT_REFUSE);
	rig_add_egress_unicast(&rig, SLOT_UNICAST);
	sender = traffic_sender(&rig);
}

void relay_close(unsigned failures)
{
	if (failures && rig.worker)
		rig_print_lines(&rig);
	sluice_close(sender);
	rig_close(&rig);
}

int install_one(uint32_t number, uint32_t slot)
{
	const struct sluice_rule_record rule = rig_rule(&rig, number, 0, 1);
	const struct sluice_output_record output = rig_output(&rig, number, slot);

	return rig_install(&rig, &rule, 1, &output, 1);
}

uint64_t rule_counter(uint32_t number, uint32_t counter)
{
	return rig_counter(&rig, rig_rule_counters(number) + counter);
}

uint64_t output_counter(uint32_t number, uint32_t counter)
{
	return rig_counter(&rig, rig_output_counters(number) + counter);
}

uint64_t failed_by(uint32_t number, uint32_t reason)
{
	return output_counter(number, SLUICE_OUTPUT_FAILED_BY_REASON + reason);
}

uint64_t interface_counter(uint32_t counter)
{
	return rig_counter(&rig, RIG_INTERFACE_COUNTERS + counter);
}

bool await_forwarded(uint32_t number, uint64_t packets)
{
	uint64_t seen =
		rig_await(&rig, rig_rule_counters(number) + SLUICE_RULE_FORWARDED_PACKETS, packets);

	if (seen != packets)
		fprintf(stderr, "rule %u forwarded %llu, expected %llu\n", number,
			(unsigned long long)seen, (unsigned long long)packets);
	return seen == packets;
}

bool comes_to_rest(void)
{
	for (unsigned window = 0; window < 40; window++) {
		uint64_t before = rig_counter(&rig, SLUICE_WORKER_WAKEUPS);

		usleep(250000);
		if (rig_counter(&rig, SLUICE_WORKER_WAKEUPS) - before <= 4)
			return true;
	}
	return false;
}

bool sums_hold(uint32_t rule, uint32_t output)
{
	uint64_t dropped = 0;
	uint64_t failed = 0;

	for (uint32_t reason = 0; reason < SLUICE_DROP_COUNT; reason++)
		dropped += rule_counter(rule, SLUICE_RULE_DROPPED + reason);
	for (uint32_t reason = 0; reason < SLUICE_FAILURE_COUNT; reason++)
		failed += failed_by(output, reason);
	return failed == output_counter(output, SLUICE_OUTPUT_FAILED_PACKETS) &&
	       rule_counter(rule, SLUICE_RULE_RECEIVED_PACKETS) ==
		       rule_counter(rule, SLUICE_RULE_FORWARDED_PACKETS) + dropped &&
	       output_counter(output, SLUICE_OUTPUT_ELIGIBLE_PACKETS) ==
		       output_counter(output, SLUICE_OUTPUT_SENT_PACKETS) +
			       output_counter(output, SLUICE_OUTPUT_FAILED_PACKETS);
}
