/*
 * A worker that is killed: its successor takes ring and state as they are and goes on.
 * Nothing is repeated, reordered, or counted wrongly. Lost can only be what was noted as
 * handed to the kernel and was not: one call's datagrams, should the kill come between.
 */
#include "../src/egress.h"
#include "expect.h"
#include "relay_fixture.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIVES    20u
#define PER_LIFE 1000u
#define BYTES    200u

/* Outputs. */
#define NO_SOCKET 2u
#define UNUSABLE  3u

/* Datagrams come all the while, also when nobody takes them. */
static void send_some(uint32_t *sequence, uint32_t count)
{
	const struct timespec gap = { .tv_nsec = 20000 };

	for (uint32_t at = 0; at < count; at++) {
		traffic_send_numbered(sender, 1, (*sequence)++, BYTES);
		if (at % 16 == 15)
			nanosleep(&gap, NULL);
	}
}

/* To one output that sends, and two that fail by counting alone, each in its way. */
static int install(uint32_t number)
{
	const struct sluice_rule_record rule = rig_rule(&rig, number, 0, 3);
	struct sluice_output_record outputs[3] = { rig_output(&rig, NO_SOCKET, SLOT_ABSENT),
						   rig_output(&rig, number, SLOT),
						   rig_output(&rig, UNUSABLE, SLOT) };

	outputs[2].flags = SLUICE_OUTPUT_UNUSABLE;
	return rig_install(&rig, &rule, 1, outputs, 3);
}

static void prepare_worker(uint32_t rule)
{
	rig_attach(&rig, SHARD);
	rig_add_egress(&rig, SLOT, 0);
	/* The very table that its predecessor had. */
	rig.generation = 0;
	EXPECT_EQUAL(install(rule), 0);
}

/* What comes must be a run of sequences, with holes of one call at most for each kill. */
static void check_received(int receiver, uint32_t sent)
{
	uint8_t payload[BYTES], expected[BYTES];
	uint32_t next = 0, lost = 0;

	while (next < sent &&
	       traffic_receive(receiver, payload, BYTES, TRAFFIC_PATIENCE_MS) == (int)BYTES) {
		uint32_t sequence;

		memcpy(&sequence, payload, sizeof(sequence));
		traffic_fill(expected, sequence, BYTES);
		EXPECT(memcmp(payload, expected, BYTES) == 0);
		EXPECT(sequence >= next && sequence - next <= EGRESS_CALL_DATAGRAMS);
		lost += sequence - next;
		next = sequence + 1;
	}
	EXPECT_EQUAL(next, sent);
	EXPECT(traffic_is_over(receiver));
	EXPECT(lost <= LIVES * EGRESS_CALL_DATAGRAMS);
	printf("killed %u times: lost %u, repeated 0 of %u\n", LIVES, lost, sent);
}

static void check_counters(uint32_t sent)
{
	EXPECT(await_forwarded(1, sent));
	EXPECT_EQUAL(rule_counter(1, SLUICE_RULE_RECEIVED_PACKETS), sent);
	EXPECT_EQUAL(rule_counter(1, SLUICE_RULE_RECEIVED_BYTES), (uint64_t)sent * BYTES);
	EXPECT_EQUAL(output_counter(1, SLUICE_OUTPUT_ELIGIBLE_PACKETS), sent);
	EXPECT_EQUAL(output_counter(1, SLUICE_OUTPUT_SENT_PACKETS), sent);
	EXPECT_EQUAL(output_counter(1, SLUICE_OUTPUT_SENT_BYTES), (uint64_t)sent * BYTES);
	for (uint32_t output = NO_SOCKET; output <= UNUSABLE; output++) {
		EXPECT_EQUAL(failed_by(output, SLUICE_FAILURE_UNUSABLE), sent);
		EXPECT(sums_hold(1, output));
	}
	EXPECT(sums_hold(1, 1));
	EXPECT_EQUAL(interface_counter(SLUICE_INTERFACE_CAPTURED_FRAMES), sent);
}

static void a_killed_workers_successor_loses_nothing(void)
{
	int receiver = traffic_receiver(&rig, 1);
	uint32_t sequence = 0;

	rig_stop_worker(&rig);
	for (uint32_t life = 0; life < LIVES; life++) {
		pid_t worker = rig_start_worker_process(&rig);

		prepare_worker(1);
		/* However late it runs: the ring has no room for what two lives leave. */
		EXPECT(await_forwarded(1, sequence));
		/* Killed while datagrams come, at another moment each time. */
		send_some(&sequence, PER_LIFE / 2 + life * 13);
		EXPECT_EQUAL(kill(worker, SIGKILL), 0);
		send_some(&sequence, PER_LIFE / 2);
		EXPECT_EQUAL(waitpid(worker, NULL, 0), worker);
		rig_await_gone(&rig);
		EXPECT_EQUAL(sluice_shard_driver(rig.shard_state), RIG_WORKER_SLOT);
		EXPECT_EQUAL(sluice_shard_settle(rig.shard_state, rig.counters_fd), 0);
	}
	rig_start_worker(&rig);
	prepare_worker(1);
	check_received(receiver, sequence);
	check_counters(sequence);
	sluice_close(receiver);
}

/* Duplicates of all it has open, so that nothing is closed by its end. How many. */
static uint32_t hold_descriptors(pid_t process, int *held, uint32_t capacity)
{
	const int pidfd = (int)syscall(SYS_pidfd_open, process, 0);
	uint32_t count = 0;

	EXPECT(pidfd >= 0);
	for (int fd = 3; fd < 1024 && count < capacity; fd++) {
		held[count] = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
		count += held[count] >= 0;
	}
	close(pidfd);
	return count;
}

/* As when taking its memory apart takes long: its descriptors are closed only after that. */
static void the_end_is_seen_before_the_channel_closes(void)
{
	pid_t worker;
	int held[256];
	uint32_t count;

	rig_stop_worker(&rig);
	worker = rig_start_worker_process(&rig);
	prepare_worker(1);
	count = hold_descriptors(worker, held, 256);
	EXPECT(count > 0);
	EXPECT_EQUAL(kill(worker, SIGKILL), 0);
	rig_await_gone(&rig);
	EXPECT_EQUAL(waitpid(worker, NULL, 0), worker);
	while (count)
		close(held[--count]);
	rig_start_worker(&rig);
	prepare_worker(1);
}

static void refuse_futex_waitv(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 449, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { .len = 4, .filter = filter };

	EXPECT_EQUAL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	EXPECT_EQUAL(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* As an older kernel, or a container's filter: more workers come and go than can be watched. */
static void without_the_call_workers_come_and_go(void)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		refuse_futex_waitv();
		relay_open(true);
		for (unsigned life = 0; life < 130; life++) {
			rig_stop_worker(&rig);
			rig_start_worker(&rig);
		}
		relay_close(failures);
		_exit(failures != 0);
	}
	EXPECT_EQUAL(waitpid(child, &status, 0), child);
	EXPECT_EQUAL(status, 0);
}

int main(void)
{
	if (!rig_possible()) {
		fprintf(stderr, "skipped: needs root for network namespaces\n");
		return EXIT_SKIPPED;
	}
	without_the_call_workers_come_and_go();
	relay_open(true);
	a_killed_workers_successor_loses_nothing();
	the_end_is_seen_before_the_channel_closes();
	relay_close(failures);
	return failures ? 1 : 0;
}
