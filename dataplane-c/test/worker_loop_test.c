/* A worker on real packets: what comes in at in0 leaves at out0, whole, once, in order. */
#include "expect.h"
#include "relay_rig.h"

#include <stdlib.h>
#include <string.h>

static struct rig rig;

static void datagrams_arrive_whole_once_and_in_order(void)
{
	struct sluice_rule_record rule = rig_rule(&rig, 1, 0, 1);
	struct sluice_output_record output = rig_output(&rig, 1, 0);
	int sender = rig_sender(&rig);
	int receiver = rig_receiver(&rig, 1);
	uint8_t sent[1472], received[2048];

	EXPECT_EQUAL(rig_install(&rig, &rule, 1, &output, 1), 0);
	for (uint32_t size = 0; size <= 1472; size++) {
		memset(sent, (int)size, sizeof(sent));
		rig_send(sender, 1, sent, size);
	}
	for (uint32_t size = 0; size <= 1472; size++) {
		memset(sent, (int)size, sizeof(sent));
		EXPECT_EQUAL(rig_receive(receiver, received, sizeof(received), 10000), size);
		EXPECT(memcmp(sent, received, size) == 0);
	}
	EXPECT_EQUAL(rig_receive(receiver, received, sizeof(received), 0), -1);
	EXPECT_EQUAL(rig_await(&rig, rig_rule_counters(1) + SLUICE_RULE_RECEIVED_PACKETS, 1473),
		     1473);
	EXPECT_EQUAL(rig_await(&rig, rig_output_counters(1) + SLUICE_OUTPUT_SENT_PACKETS, 1473),
		     1473);
	sluice_close(sender);
	sluice_close(receiver);
}

int main(void)
{
	if (!rig_possible()) {
		fprintf(stderr, "skipped: needs root for network namespaces\n");
		return EXIT_SKIPPED;
	}
	rig_open(&rig, true);
	rig_attach(&rig, 1);
	rig_add_egress(&rig, 0, 5001, 0);
	datagrams_arrive_whole_once_and_in_order();
	rig_print_lines(&rig);
	rig_close(&rig);
	return failures ? 1 : 0;
}
