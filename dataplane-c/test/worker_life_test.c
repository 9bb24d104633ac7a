/*
 * Commands, supervisors that are busy or die, and the end of a worker.
 */
#include "expect.h"
#include "relay_fixture.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void bad_commands_are_answered_and_change_nothing(void)
{
	struct sluice_message unknown = { .kind = 99 };
	struct sluice_message table = { .kind = SLUICE_MESSAGE_INSTALL_TABLE };
	struct sluice_message counters = { .kind = SLUICE_MESSAGE_COUNTERS };
	struct sluice_egress_slot slot = { .message = { .kind = SLUICE_MESSAGE_REMOVE_EGRESS },
					   .slot = SLUICE_MAX_EGRESS };
	struct sluice_attach_shard shard = { .message = { .kind = SLUICE_MESSAGE_ATTACH_SHARD },
					     .shard = 55,
					     .ring = { .block_bytes = 1, .frame_bytes = 1 } };
	const int fds[2] = { rig.shard, rig.shard_state };

	EXPECT_EQUAL(rig_command(&rig, &unknown, sizeof(unknown), NULL, 0), -EBADMSG);
	EXPECT_EQUAL(rig_command(&rig, &table, sizeof(table), NULL, 0), -EBADMSG);
	EXPECT_EQUAL(rig_command(&rig, &table, sizeof(table), fds, 2), -EBADMSG);
	EXPECT_EQUAL(rig_command(&rig, &table, sizeof(table), &rig.counters_fd, 1), -EPERM);
	EXPECT_EQUAL(rig_command(&rig, &table, sizeof(table), &rig.shard, 1), -EPERM);
	EXPECT_EQUAL(rig_command(&rig, &counters, sizeof(counters), &rig.counters_fd, 1), -EBUSY);
	EXPECT_EQUAL(rig_command(&rig, &slot, sizeof(slot), NULL, 0), -EINVAL);
	EXPECT_EQUAL(rig_command(&rig, &shard, sizeof(shard), fds, 2), -EINVAL);
	shard.ring = rig.ring;
	shard.ring.block_count *= 2;
	shard.ring.frame_count *= 2;
	EXPECT_EQUAL(rig_command(&rig, &shard, sizeof(shard), fds, 2), -EINVAL);
	shard.ring = rig.ring;
	shard.shard = SHARD;
	EXPECT_EQUAL(rig_command(&rig, &shard, sizeof(shard), fds, 2), -EEXIST);
}

static void notes_reach_the_workers_process(void)
{
	struct {
		struct sluice_message message;
		char text[8];
	} note = { { .kind = SLUICE_MESSAGE_NOTE }, "levels" };
	char taken[64] = { 0 };

	/* One without a byte would pass for none, and hide what comes after it. */
	EXPECT_EQUAL(rig_command(&rig, &note, sizeof(note.message), NULL, 0), -EBADMSG);
	EXPECT_EQUAL(sluice_worker_take_note(rig.worker, taken, sizeof(taken)), 0);
	EXPECT_EQUAL(rig_command(&rig, &note, sizeof(note), NULL, 0), 0);
	EXPECT_EQUAL(sluice_worker_take_note(rig.worker, taken, sizeof(taken)), 8);
	EXPECT(strcmp(taken, "levels") == 0);
}

/* Idle or not: whoever watches tells a thread that waits from one that hangs. */
static void the_heart_beats_while_nothing_comes(void)
{
	uint64_t *heart = &rig.counters[SLUICE_WORKER_HEARTBEAT_NS];

	for (unsigned beat = 0; beat < 3; beat++) {
		const uint64_t last = __atomic_load_n(heart, __ATOMIC_RELAXED);
		unsigned waited_ms = 0;

		while (__atomic_load_n(heart, __ATOMIC_RELAXED) == last && waited_ms++ < 10000)
			usleep(1000);
		EXPECT(__atomic_load_n(heart, __ATOMIC_RELAXED) > last);
	}
}

static void await_beats(unsigned beats)
{
	const uint64_t *heart = &rig.counters[SLUICE_WORKER_HEARTBEAT_NS];

	for (unsigned beat = 0; beat < beats; beat++) {
		const uint64_t last = __atomic_load_n(heart, __ATOMIC_RELAXED);
		unsigned waited = 0;

		while (__atomic_load_n(heart, __ATOMIC_RELAXED) == last && waited++ < 100000)
			usleep(100);
	}
}

#define SLEEPS_SEEN 20u

/*
 * A sleeper would be woken once for each beat, and for each datagram that comes when it sleeps: the next one may
 * come before.
 */
static void it_idles_as_it_is_told(void)
{
	const uint64_t *wakeups = &rig.counters[SLUICE_WORKER_WAKEUPS];
	const uint8_t payload[10] = { 0 };
	uint64_t before;

	EXPECT_EQUAL(sluice_worker_set_idle(rig.worker, SLUICE_IDLE_SPIN + 1), -EINVAL);
	EXPECT_EQUAL(sluice_worker_set_idle(NULL, SLUICE_IDLE_SPIN), -EINVAL);
	EXPECT_EQUAL(install_one(79, SLOT), 0);
	EXPECT_EQUAL(sluice_worker_set_idle(rig.worker, SLUICE_IDLE_SPIN), 0);
	await_beats(3);
	before = __atomic_load_n(wakeups, __ATOMIC_RELAXED);
	for (uint64_t sent = 1; sent <= 20; sent++) {
		traffic_send(sender, 79, payload, sizeof(payload));
		EXPECT(await_forwarded(79, sent));
	}
	await_beats(50);
	EXPECT_EQUAL(__atomic_load_n(wakeups, __ATOMIC_RELAXED), before);
	EXPECT_EQUAL(sluice_worker_set_idle(rig.worker, SLUICE_IDLE_BLOCK), 0);
	await_beats(3);
	before = __atomic_load_n(wakeups, __ATOMIC_RELAXED);
	for (uint64_t sent = 21;
	     sent < 10000 && __atomic_load_n(wakeups, __ATOMIC_RELAXED) < before + SLEEPS_SEEN;
	     sent++) {
		traffic_send(sender, 79, payload, sizeof(payload));
		EXPECT(await_forwarded(79, sent));
	}
	EXPECT(__atomic_load_n(wakeups, __ATOMIC_RELAXED) >= before + SLEEPS_SEEN);
	EXPECT_EQUAL(sluice_worker_set_idle(rig.worker, SLUICE_IDLE_ADAPTIVE), 0);
}

static void kernel_drops_are_counted(void)
{
	struct sluice_detach_shard detach = { .message = { .kind = SLUICE_MESSAGE_DETACH_SHARD },
					      .shard = SHARD };
	uint64_t dropped = interface_counter(SLUICE_INTERFACE_KERNEL_DROPPED_FRAMES);
	const uint32_t packets = rig.ring.frame_count + 500;
	uint64_t captured;
	uint8_t payload[10] = { 0 };

	EXPECT_EQUAL(install_one(78, SLOT), 0);
	EXPECT_EQUAL(rig_command(&rig, &detach, sizeof(detach), NULL, 0), 0);
	EXPECT_EQUAL(rig_command(&rig, &detach, sizeof(detach), NULL, 0), -ENOENT);
	captured = interface_counter(SLUICE_INTERFACE_CAPTURED_FRAMES);
	for (uint32_t at = 0; at < packets; at++)
		traffic_send(sender, 78, payload, sizeof(payload));
	rig_attach(&rig, SHARD);
	EXPECT(await_forwarded(78, rig.ring.frame_count));
	rig_await(&rig, RIG_INTERFACE_COUNTERS + SLUICE_INTERFACE_KERNEL_DROPPED_FRAMES,
		  dropped + 500);
	EXPECT_EQUAL(interface_counter(SLUICE_INTERFACE_KERNEL_DROPPED_FRAMES) - dropped, 500);
	EXPECT_EQUAL(interface_counter(SLUICE_INTERFACE_CAPTURED_FRAMES) - captured,
		     rig.ring.frame_count);
}

/* A supervisor that is busy elsewhere: its commands wait, packets do not. */
static void packets_flow_while_acknowledgements_wait(void)
{
	struct {
		struct sluice_message message;
		uint64_t body;
	} note = { .message = { .kind = SLUICE_MESSAGE_NOTE, .bytes = sizeof(note) } };
	uint64_t first;
	int receiver = traffic_receiver(&rig, 82);
	int sent = 0;

	EXPECT_EQUAL(install_one(82, SLOT), 0);
	first = rig.sequence + 1;
	/* Events are not read: their pipe fills, then the reports', then the commands' queue. */
	for (unsigned full = 0; full < 100; full += sent == -EAGAIN) {
		note.message.sequence = rig.sequence + 1;
		sent = sluice_channel_send(rig.connection, &note, sizeof(note), NULL, 0);
		EXPECT(sent == 0 || sent == -EAGAIN);
		if (sent == 0)
			rig.sequence++;
		else
			usleep(1000);
	}
	for (uint32_t sequence = 0; sequence < 100; sequence++)
		traffic_send_numbered(sender, 82, sequence, 100);
	for (uint32_t sequence = 0; sequence < 100; sequence++)
		EXPECT(traffic_expect(receiver, sequence, 100));
	for (uint64_t expected = first; expected <= rig.sequence; expected++)
		EXPECT_EQUAL(rig_await_ack(&rig), expected);
	sluice_close(receiver);
}

/* It forwards on, and takes commands of the next one. */
static void a_worker_outlives_supervisors(void)
{
	int receiver = traffic_receiver(&rig, 86);
	uint32_t sequence = 0;

	EXPECT_EQUAL(install_one(86, SLOT), 0);
	for (unsigned life = 0; life < 3; life++) {
		rig_supervisor_dies(&rig);
		for (uint32_t end = sequence + 100; sequence < end; sequence++) {
			traffic_send_numbered(sender, 86, sequence, 100);
			EXPECT(traffic_expect(receiver, sequence, 100));
		}
		rig_supervisor_returns(&rig, SHARD);
		EXPECT_EQUAL(install_one(86, SLOT), 0);
	}
	EXPECT(traffic_is_over(receiver));
	sluice_close(receiver);
}

static void a_stopped_worker_halts(void)
{
	struct sluice_message stop = { .kind = SLUICE_MESSAGE_STOP };
	int32_t error = 1;

	EXPECT_EQUAL(sluice_worker_state(rig.worker, &error), SLUICE_WORKER_RUN);
	EXPECT_EQUAL(rig_command(&rig, &stop, sizeof(stop), NULL, 0), 0);
	rig_await_gone(&rig);
	for (unsigned tries = 0; tries < 10000; tries++) {
		if (sluice_worker_state(rig.worker, &error) == SLUICE_WORKER_HALT)
			break;
		usleep(1000);
	}
	EXPECT_EQUAL(sluice_worker_state(rig.worker, &error), SLUICE_WORKER_HALT);
	EXPECT_EQUAL(error, 0);
}

int main(void)
{
	if (!rig_possible()) {
		fprintf(stderr, "skipped: needs root for network namespaces\n");
		return EXIT_SKIPPED;
	}
	relay_open(true);
	bad_commands_are_answered_and_change_nothing();
	notes_reach_the_workers_process();
	the_heart_beats_while_nothing_comes();
	it_idles_as_it_is_told();
	kernel_drops_are_counted();
	packets_flow_while_acknowledgements_wait();
	a_worker_outlives_supervisors();
	a_stopped_worker_halts();
	relay_close(failures);
	return failures ? 1 : 0;
}
