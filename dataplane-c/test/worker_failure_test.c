/*
 * Outputs that fail are counted, and hurt no other.
 */
#include "expect.h"
#include "relay_fixture.h"

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <time.h>

static bool forging;

static void an_output_without_socket_fails_and_hurts_no_other(void)
{
	struct sluice_rule_record rule = rig_rule(&rig, 67, 0, 2);
	struct sluice_output_record outputs[2] = { rig_output(&rig, 67, SLOT_ABSENT),
						   rig_output(&rig, 68, SLOT) };
	int receiver = traffic_receiver(&rig, 68);
	uint8_t payload[50];

	EXPECT_EQUAL(rig_install(&rig, &rule, 1, outputs, 2), 0);
	traffic_fill(payload, 1, 50);
	for (uint32_t at = 0; at < 10; at++)
		traffic_send(sender, 67, payload, 50);
	EXPECT(await_forwarded(67, 10));
	for (uint32_t at = 0; at < 10; at++)
		EXPECT(traffic_expect(receiver, 1, 50));
	EXPECT_EQUAL(output_counter(67, SLUICE_OUTPUT_ELIGIBLE_PACKETS), 10);
	EXPECT_EQUAL(output_counter(67, SLUICE_OUTPUT_FAILED_PACKETS), 10);
	EXPECT_EQUAL(failed_by(67, SLUICE_FAILURE_UNUSABLE), 10);
	EXPECT_EQUAL(output_counter(68, SLUICE_OUTPUT_SENT_PACKETS), 10);
	sluice_close(receiver);
}

static void a_rule_without_usable_output_drops_by_name(void)
{
	struct sluice_rule_record rule = rig_rule(&rig, 69, 0, 1);
	struct sluice_output_record output = rig_output(&rig, 69, SLOT);
	uint8_t payload[50] = { 0 };

	output.flags = SLUICE_OUTPUT_UNUSABLE;
	EXPECT_EQUAL(rig_install(&rig, &rule, 1, &output, 1), 0);
	for (uint32_t at = 0; at < 10; at++)
		traffic_send(sender, 69, payload, 50);
	EXPECT_EQUAL(rig_await(&rig,
			       rig_rule_counters(69) + SLUICE_RULE_DROPPED + SLUICE_DROP_NO_OUTPUT,
			       10),
		     10);
	EXPECT_EQUAL(rule_counter(69, SLUICE_RULE_FORWARDED_PACKETS), 0);
	EXPECT_EQUAL(output_counter(69, SLUICE_OUTPUT_ELIGIBLE_PACKETS), 0);
}

static void an_unusable_output_fails_by_name_beside_a_usable_one(void)
{
	struct sluice_rule_record rule = rig_rule(&rig, 86, 0, 2);
	struct sluice_output_record outputs[2] = { rig_output(&rig, 86, SLOT),
						   rig_output(&rig, 87, SLOT) };
	uint8_t payload[50] = { 0 };

	outputs[1].flags = SLUICE_OUTPUT_UNUSABLE;
	EXPECT_EQUAL(rig_install(&rig, &rule, 1, outputs, 2), 0);
	for (uint32_t at = 0; at < 10; at++)
		traffic_send(sender, 86, payload, 50);
	EXPECT(await_forwarded(86, 10));
	EXPECT_EQUAL(failed_by(87, SLUICE_FAILURE_UNUSABLE), 10);
	EXPECT(sums_hold(86, 86) && sums_hold(86, 87));
}

/* Before the supervisor has seen it and says so in the table. */
static void an_interface_that_goes_down_is_named(void)
{
	uint8_t payload[50] = { 0 };

	EXPECT_EQUAL(install_one(88, SLOT), 0);
	rig_relay(&rig, "ip link set out0 down");
	for (uint32_t at = 0; at < 10; at++)
		traffic_send(sender, 88, payload, 50);
	EXPECT(await_forwarded(88, 10));
	EXPECT_EQUAL(failed_by(88, SLUICE_FAILURE_INTERFACE_DOWN), 10);
	EXPECT(sums_hold(88, 88));
	rig_relay(&rig, "ip link set out0 up");
}

/* The subnet's broadcast address, which the socket may not send to. */
static void what_the_kernel_does_not_permit_is_named(void)
{
	struct sluice_rule_record rule = rig_rule(&rig, 89, 0, 1);
	struct sluice_output_record output = rig_output(&rig, 89, SLOT_UNICAST);
	uint8_t payload[50] = { 0 };

	output.destination_be = htonl(RIG_FAR_OUT_ADDRESS | 0xffu);
	EXPECT_EQUAL(rig_install(&rig, &rule, 1, &output, 1), 0);
	for (uint32_t at = 0; at < 10; at++)
		traffic_send(sender, 89, payload, 50);
	EXPECT(await_forwarded(89, 10));
	EXPECT_EQUAL(failed_by(89, SLUICE_FAILURE_NOT_PERMITTED), 10);
	EXPECT(sums_hold(89, 89));
}

/* The last of them comes when nothing is sent any more: the sample finds it. */
static void what_icmp_answers_is_counted_at_the_output_it_speaks_of(void)
{
	/* The kernel's limit for all it answers (icmp_msgs_burst) lets pass at least 25 in a row. */
	enum { ANSWERED = 20 };
	struct sluice_rule_record rule = rig_rule(&rig, 90, 0, 3);
	struct sluice_output_record outputs[3] = { rig_output(&rig, 90, SLOT_UNICAST),
						   rig_output(&rig, 91, SLOT_UNICAST),
						   rig_output(&rig, 92, SLOT) };
	const uint32_t counter = rig_output_counters(90) + SLUICE_OUTPUT_UNREACHABLE_ANSWERS;

	outputs[0].destination_be = htonl(RIG_FAR_OUT_ADDRESS);
	outputs[0].port_be = htons(9);
	/* Nobody has that address, and so nobody answers. */
	outputs[1].destination_be = htonl(RIG_FAR_OUT_ADDRESS + 70);
	outputs[1].port_be = htons(9);
	EXPECT_EQUAL(rig_install(&rig, &rule, 1, outputs, 3), 0);
	for (uint32_t sequence = 0; sequence < ANSWERED; sequence++) {
		traffic_send_numbered(sender, 90, sequence, 50);
		EXPECT(await_forwarded(90, sequence + 1));
	}
	EXPECT_EQUAL(rig_await(&rig, counter, ANSWERED), ANSWERED);
	EXPECT_EQUAL(output_counter(91, SLUICE_OUTPUT_UNREACHABLE_ANSWERS), 0);
	EXPECT_EQUAL(output_counter(92, SLUICE_OUTPUT_UNREACHABLE_ANSWERS), 0);
	for (uint32_t output = 90; output <= 92; output++) {
		EXPECT_EQUAL(output_counter(output, SLUICE_OUTPUT_SENT_PACKETS), ANSWERED);
		EXPECT(sums_hold(90, output));
	}
}

static void a_unicast_output_that_nobody_listens_on_does_not_disturb_others(void)
{
	struct sluice_rule_record rule = rig_rule(&rig, 70, 0, 2);
	struct sluice_output_record outputs[2] = { rig_output(&rig, 70, SLOT_UNICAST),
						   rig_output(&rig, 71, SLOT_UNICAST) };
	int receiver = traffic_receiver(&rig, 71);

	/* Port unreachable comes back for each, and is reported on a later send. */
	outputs[0].destination_be = htonl(RIG_FAR_OUT_ADDRESS);
	outputs[0].port_be = htons(9);
	EXPECT_EQUAL(rig_install(&rig, &rule, 1, outputs, 2), 0);
	for (uint32_t sequence = 0; sequence < 200; sequence++) {
		traffic_send_numbered(sender, 70, sequence, 50);
		EXPECT(traffic_expect(receiver, sequence, 50));
	}
	EXPECT(await_forwarded(70, 200));
	EXPECT_EQUAL(output_counter(70, SLUICE_OUTPUT_SENT_PACKETS), 200);
	EXPECT_EQUAL(output_counter(71, SLUICE_OUTPUT_SENT_PACKETS), 200);
	sluice_close(receiver);
}

/* Each send meets the refusal of the one before it, which is not its own. */
static void an_earlier_datagrams_refusal_fails_no_later_one(void)
{
	struct sluice_rule_record rule = rig_rule(&rig, 85, 0, 1);
	struct sluice_output_record output = rig_output(&rig, 85, SLOT_UNICAST);

	output.destination_be = htonl(RIG_FAR_OUT_ADDRESS);
	output.port_be = htons(9);
	EXPECT_EQUAL(rig_install(&rig, &rule, 1, &output, 1), 0);
	for (uint32_t sequence = 0; sequence < 20; sequence++) {
		traffic_send_numbered(sender, 85, sequence, 50);
		EXPECT(await_forwarded(85, sequence + 1));
	}
	EXPECT_EQUAL(output_counter(85, SLUICE_OUTPUT_SENT_PACKETS), 20);
	EXPECT_EQUAL(output_counter(85, SLUICE_OUTPUT_FAILED_PACKETS), 0);
}

/* Port unreachable, as anybody can forge it, of a datagram that the unicast socket might have sent. */
static void *forge_answers(void *unused)
{
	uint8_t answer[36] = { ICMP_DEST_UNREACH, ICMP_PORT_UNREACH };
	struct iphdr *quoted = (void *)(answer + 8);
	struct udphdr *header = (void *)(answer + 28);
	struct sockaddr_in relay = { .sin_family = AF_INET,
				     .sin_addr.s_addr = htonl(RIG_OUT_ADDRESS) };
	uint32_t sum = 0;
	int fd;

	(void)unused;
	rig_enter(rig.far_namespace);
	fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	rig_require(fd >= 0, "a socket for ICMP");
	*quoted = (struct iphdr){ .version = 4,
				  .ihl = 5,
				  .tot_len = htons(100),
				  .ttl = 16,
				  .protocol = IPPROTO_UDP,
				  .saddr = htonl(RIG_OUT_ADDRESS),
				  .daddr = htonl(RIG_FAR_OUT_ADDRESS) };
	*header = (struct udphdr){ .source = htons(RIG_SOURCE_PORT + SLOT_UNICAST),
				   .dest = htons(9),
				   .len = htons(80) };
	for (size_t at = 0; at < sizeof(answer); at += 2)
		sum += (uint32_t)(answer[at] << 8 | answer[at + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~(sum + (sum >> 16));
	answer[2] = (uint8_t)(sum >> 8);
	answer[3] = (uint8_t)sum;
	while (__atomic_load_n(&forging, __ATOMIC_RELAXED))
		(void)sendto(fd, answer, sizeof(answer), 0, (struct sockaddr *)&relay,
			     sizeof(relay));
	sluice_close(fd);
	return NULL;
}

static void answers_however_many_fail_no_datagram(void)
{
	/* The ring holds twice as many as are on their way. */
	enum { PACKETS = 3000, ON_THEIR_WAY = 1000 };
	struct sluice_rule_record rule = rig_rule(&rig, 93, 0, 1);
	const struct sluice_output_record output = rig_output(&rig, 93, SLOT_UNICAST);
	const uint32_t forwarded = rig_rule_counters(93) + SLUICE_RULE_FORWARDED_PACKETS;
	const struct timespec gap = { .tv_nsec = 50000 };
	uint8_t payload[50] = { 0 };
	pthread_t forger;

	EXPECT_EQUAL(rig_install(&rig, &rule, 1, &output, 1), 0);
	forging = true;
	rig_require(pthread_create(&forger, NULL, forge_answers, NULL) == 0, "a thread");
	for (uint32_t at = 0; at < PACKETS; at++) {
		traffic_send(sender, 93, payload, sizeof(payload));
		if (at % 8 == 7)
			nanosleep(&gap, NULL);
		if (at >= ON_THEIR_WAY)
			rig_await(&rig, forwarded, at - ON_THEIR_WAY);
	}
	EXPECT(await_forwarded(93, PACKETS));
	__atomic_store_n(&forging, false, __ATOMIC_RELAXED);
	pthread_join(forger, NULL);
	EXPECT_EQUAL(output_counter(93, SLUICE_OUTPUT_FAILED_PACKETS), 0);
	EXPECT_EQUAL(output_counter(93, SLUICE_OUTPUT_SENT_PACKETS), PACKETS);
}

static void a_full_queue_is_counted_as_failed(void)
{
	enum { PACKETS = 2000 };
	struct sluice_rule_record rule = rig_rule(&rig, 72, 0, 2);
	struct sluice_output_record outputs[2] = { rig_output(&rig, 72, SLOT_PLAIN),
						   rig_output(&rig, 73, SLOT) };
	uint8_t payload[1000] = { 0 };
	uint64_t sent;

	rig_relay(&rig, "tc qdisc replace dev out0 root tbf rate 80kbit burst 2000 limit 20000");
	EXPECT_EQUAL(rig_install(&rig, &rule, 1, outputs, 2), 0);
	for (uint32_t at = 0; at < PACKETS; at++)
		traffic_send(sender, 72, payload, sizeof(payload));
	EXPECT(await_forwarded(72, PACKETS));
	for (uint32_t output = 72; output <= 73; output++) {
		sent = output_counter(output, SLUICE_OUTPUT_SENT_PACKETS);
		EXPECT(sent < PACKETS / 2);
		EXPECT_EQUAL(sent + output_counter(output, SLUICE_OUTPUT_FAILED_PACKETS), PACKETS);
		EXPECT_EQUAL(sent + failed_by(output, SLUICE_FAILURE_QUEUE_FULL), PACKETS);
	}
	rig_relay(&rig, "tc qdisc del dev out0 root");
}

static void an_interface_that_was_down_works_again(void)
{
	enum { LAST_TRY = 255 };
	int receiver = traffic_receiver(&rig, 74), length;
	uint8_t byte = 0;

	EXPECT_EQUAL(install_one(74, SLOT), 0);
	rig_relay(&rig, "ip link set in0 down");
	/* Its error is consumed: the thread sleeps. */
	EXPECT(comes_to_rest());
	rig_relay(&rig, "ip link set in0 up");
	/* The carrier comes back some time after the command. */
	for (unsigned tries = 0; tries < 1000; tries++) {
		traffic_send_numbered(sender, 74, 0, 50);
		if (traffic_receive(receiver, &byte, 1, 10) >= 0)
			break;
	}
	/* Behind all those that are still on their way. */
	traffic_send_numbered(sender, 74, LAST_TRY, 50);
	do {
		length = traffic_receive(receiver, &byte, 1, TRAFFIC_PATIENCE_MS);
	} while (length >= 0 && byte != LAST_TRY);
	EXPECT(length >= 0);
	for (uint32_t sequence = 0; sequence < 10; sequence++) {
		traffic_send_numbered(sender, 74, sequence, 50);
	}
	for (uint32_t sequence = 0; sequence < 10; sequence++)
		EXPECT(traffic_expect(receiver, sequence, 50));
	sluice_close(receiver);
}

int main(void)
{
	if (!rig_possible()) {
		fprintf(stderr, "skipped: needs root for network namespaces\n");
		return EXIT_SKIPPED;
	}
	relay_open(true);
	/* Every refusal is told. */
	rig_far(&rig, "sysctl -qw net.ipv4.icmp_ratelimit=0");
	an_output_without_socket_fails_and_hurts_no_other();
	a_rule_without_usable_output_drops_by_name();
	an_unusable_output_fails_by_name_beside_a_usable_one();
	an_interface_that_goes_down_is_named();
	what_the_kernel_does_not_permit_is_named();
	what_icmp_answers_is_counted_at_the_output_it_speaks_of();
	a_unicast_output_that_nobody_listens_on_does_not_disturb_others();
	an_earlier_datagrams_refusal_fails_no_later_one();
	answers_however_many_fail_no_datagram();
	a_full_queue_is_counted_as_failed();
	an_interface_that_was_down_works_again();
	relay_close(failures);
	return failures ? 1 : 0;
}
