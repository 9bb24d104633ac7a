/*
 * A worker that is killed: its successor takes ring and state as they are and goes on.
 * Nothing is lost or reordered; at most the batch that was being sent is sent twice.
 */
#include "expect.h"
#include "relay_fixture.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIVES    20u
#define PER_LIFE 1000u
#define BYTES    200u
#define BATCH    256u

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

static void prepare_worker(void)
{
	rig_attach(&rig, SHARD);
	rig_add_egress(&rig, SLOT, 0);
	EXPECT_EQUAL(install_one(1, SLOT), 0);
}

/* What comes must be a run of sequences that steps back by at most one batch at each kill. */
static void check_received(int receiver, uint32_t sent)
{
	uint8_t payload[BYTES], expected[BYTES];
	uint32_t next = 0, steps_back = 0, repeated = 0;

	while (next < sent) {
		uint32_t sequence;

		if (traffic_receive(receiver, payload, BYTES, TRAFFIC_PATIENCE_MS) != (int)BYTES) {
			fprintf(stderr, "nothing more after %u of %u\n", next, sent);
			failures++;
			return;
		}
		memcpy(&sequence, payload, sizeof(sequence));
		traffic_fill(expected, sequence, BYTES);
		EXPECT(memcmp(payload, expected, BYTES) == 0);
		EXPECT(sequence <= next);
		if (sequence < next) {
			steps_back++;
			repeated += next - sequence;
			EXPECT(next - sequence <= BATCH);
		}
		next = sequence + 1;
	}
	EXPECT(steps_back <= LIVES);
	EXPECT(traffic_is_over(receiver));
	printf("killed %u times: lost 0, repeated %u of %u\n", LIVES, repeated, sent);
}

static void a_killed_workers_successor_loses_nothing(void)
{
	int receiver = traffic_receiver(&rig, 1);
	uint32_t sequence = 0;

	rig_stop_worker(&rig);
	for (uint32_t life = 0; life < LIVES; life++) {
		pid_t worker = rig_start_worker_process(&rig);

		prepare_worker();
		/* Killed while datagrams come, at another moment each time. */
		send_some(&sequence, PER_LIFE / 2 + life * 13);
		EXPECT_EQUAL(kill(worker, SIGKILL), 0);
		send_some(&sequence, PER_LIFE / 2);
		EXPECT_EQUAL(waitpid(worker, NULL, 0), worker);
		rig_await_gone(&rig);
	}
	rig_start_worker(&rig);
	prepare_worker();
	check_received(receiver, sequence);
	sluice_close(receiver);
}

int main(void)
{
	if (!rig_possible()) {
		fprintf(stderr, "skipped: needs root for network namespaces\n");
		return EXIT_SKIPPED;
	}
	relay_open(true);
	a_killed_workers_successor_loses_nothing();
	relay_close(failures);
	return failures ? 1 : 0;
}
