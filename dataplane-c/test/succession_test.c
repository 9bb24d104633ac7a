/* Who was named for a shard gets it when its driver ends, before anybody is asked. */
#include "../src/channel.h"
#include "../src/life.h"
#include "../src/shard_state.h"
#include "expect.h"
#include "peer.h"
#include "sluice.h"
#include "veth_pair.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHANNEL  "sluice-succession-test"
#define COUNTERS 512u
#define SHARD    9u
#define SEQUENCE 41u

static int pipe_fd;

/* Two workers, the ends of whose connections are here. One has a packet thread in a process of its own. */
struct pair {
	uint32_t driver, successor;
	int driver_peer, successor_peer;
	int counters, state, socket;
	pid_t process;
};

static void *map(int fd, size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (memory == MAP_FAILED)
		give_up("mmap: %s", strerror(errno));
	return memory;
}

static pid_t start_packet_thread(int counters_fd)
{
	static struct life life;
	uint64_t *counters = map(counters_fd, COUNTERS * sizeof(uint64_t));
	pid_t child = fork();

	if (child == 0) {
		life_begin(&life, counters);
		for (;;)
			pause();
	}
	while (!(__atomic_load_n(&counters[SLUICE_WORKER_LIFE], __ATOMIC_ACQUIRE) & FUTEX_WAITERS))
		usleep(100);
	munmap(counters, COUNTERS * sizeof(uint64_t));
	return child;
}

/* Killed in the midst of counting: counter 300 was about to become 77. */
static void leave_entry(int state_fd)
{
	struct shard_state *state = map(state_fd, sizeof(*state));

	state->entries[0] = (struct ledger_entry){ .index = 300, .value = 77 };
	state->entry_count = 1;
	munmap(state, sizeof(*state));
}

static struct pair begin(void)
{
	struct pair pair = {
		.counters = sluice_counters_create(COUNTERS),
		.state = sluice_shard_state_create(),
		.socket = sluice_memory_create(),
	};

	/* Before there are connections, which it would hold open. */
	pair.process = start_packet_thread(pair.counters);
	pair.driver = peer_greet(CHANNEL, pipe_fd, &pair.driver_peer, 0);
	pair.successor = peer_greet(CHANNEL, pipe_fd, &pair.successor_peer, 1);
	EXPECT_EQUAL(sluice_life_watch(pair.driver, pair.counters), 0);
	leave_entry(pair.state);
	return pair;
}

static int name(const struct pair *pair, uint32_t shard)
{
	const struct sluice_attach_shard attach = {
		.message = { .kind = SLUICE_MESSAGE_ATTACH_SHARD,
			     .bytes = sizeof(attach),
			     .sequence = SEQUENCE },
		.shard = shard,
	};
	const int fds[SLUICE_SUCCESSOR_FDS] = { pair->socket, pair->state, pair->counters };

	return sluice_successor_name(pair->driver, pair->successor, &attach, fds);
}

static void end_packet_thread(const struct pair *pair)
{
	EXPECT_EQUAL(kill(pair->process, SIGKILL), 0);
	EXPECT_EQUAL(waitpid(pair->process, NULL, 0), pair->process);
}

static struct sluice_event expect_event(uint32_t kind, uint32_t connection)
{
	const struct sluice_event event = next_event(pipe_fd);

	EXPECT_EQUAL(event.kind, kind);
	EXPECT_EQUAL(event.connection, connection);
	return event;
}

static void expect_succeeded(const struct pair *pair, uint32_t shard)
{
	const struct sluice_event event = expect_event(SLUICE_EVENT_SUCCEEDED, pair->successor);

	EXPECT_EQUAL(event.a, SEQUENCE);
	EXPECT_EQUAL(event.b, shard);
}

static uint64_t settled_counter(const struct pair *pair)
{
	uint64_t value = 0;

	EXPECT_EQUAL(pread(pair->counters, &value, sizeof(value), 300 * 8), sizeof(value));
	return value;
}

/* What the successor was told, which may be nothing. */
static void expect_attach(const struct pair *pair, uint32_t shard)
{
	struct sluice_attach_shard attach = { .shard = 0 };
	uint32_t fd_count;
	int fds[4];

	EXPECT_EQUAL(peer_receive(pair->successor_peer, &attach, sizeof(attach), fds, &fd_count),
		     sizeof(attach));
	EXPECT_EQUAL(attach.message.sequence, SEQUENCE);
	EXPECT_EQUAL(attach.shard, shard);
	EXPECT_EQUAL(fd_count, 2);
	while (fd_count)
		sluice_close(fds[--fd_count]);
}

/* Both connections end; the driver's may have ended before. */
static void finish(struct pair *pair, bool driver_gone, bool successor_gone)
{
	sluice_close(pair->driver_peer);
	if (!driver_gone)
		expect_event(SLUICE_EVENT_GONE, pair->driver);
	if (!successor_gone) {
		sluice_close(pair->successor_peer);
		expect_event(SLUICE_EVENT_GONE, pair->successor);
	}
	sluice_close(pair->counters);
	sluice_close(pair->state);
	sluice_close(pair->socket);
}

static void the_end_of_the_driver_gives_its_shards_away(void)
{
	struct pair pair = begin();

	EXPECT_EQUAL(name(&pair, SHARD), 0);
	EXPECT_EQUAL(name(&pair, SHARD + 1), 0);
	EXPECT_EQUAL(name(&pair, SHARD), -EEXIST);
	end_packet_thread(&pair);
	expect_succeeded(&pair, SHARD + 1);
	expect_succeeded(&pair, SHARD);
	expect_event(SLUICE_EVENT_GONE, pair.driver);
	EXPECT_EQUAL(settled_counter(&pair), 77);
	expect_attach(&pair, SHARD + 1);
	expect_attach(&pair, SHARD);
	EXPECT_EQUAL(sluice_successor_withdraw(SHARD), -ENOENT);
	EXPECT_EQUAL(sluice_successor_withdraw(SHARD + 1), -ENOENT);
	finish(&pair, true, false);
}

static void what_was_withdrawn_is_not_carried_out(void)
{
	struct pair pair = begin();
	struct pair other = begin();

	EXPECT_EQUAL(name(&pair, SHARD), 0);
	EXPECT_EQUAL(name(&other, SHARD + 1), 0);
	EXPECT_EQUAL(sluice_successor_withdraw(SHARD), 0);
	EXPECT_EQUAL(sluice_successor_withdraw(SHARD), -ENOENT);
	end_packet_thread(&pair);
	expect_event(SLUICE_EVENT_GONE, pair.driver);
	EXPECT_EQUAL(settled_counter(&pair), 0);
	/* Another driver's shard has nothing to do with it. */
	EXPECT_EQUAL(sluice_successor_withdraw(SHARD + 1), 0);
	end_packet_thread(&other);
	expect_event(SLUICE_EVENT_GONE, other.driver);
	finish(&pair, true, false);
	finish(&other, true, false);
}

static void a_successor_that_is_gone_is_told_of(void)
{
	struct pair pair = begin();
	struct sluice_event ack;

	EXPECT_EQUAL(name(&pair, SHARD), 0);
	sluice_close(pair.successor_peer);
	expect_event(SLUICE_EVENT_GONE, pair.successor);
	end_packet_thread(&pair);
	expect_succeeded(&pair, SHARD);
	ack = expect_event(SLUICE_EVENT_ACK, pair.successor);
	EXPECT_EQUAL(ack.a, SEQUENCE);
	EXPECT_EQUAL((int64_t)ack.b, -ENOTCONN);
	expect_event(SLUICE_EVENT_GONE, pair.driver);
	finish(&pair, true, true);
}

/* Nobody would hear of it: it is left to the supervisor, who hears GONE in the end. */
static void with_a_full_pipe_nothing_is_carried_out(void)
{
	struct pair pair = begin();
	const uint64_t filled = peer_fill(pair.successor_peer, pipe_fd);
	struct sluice_message message;
	uint32_t fd_count;
	int fds[4];
	uint64_t acks = 0;
	struct sluice_event event;

	EXPECT_EQUAL(name(&pair, SHARD), 0);
	end_packet_thread(&pair);
	/* Once its connection ends all has been tried: before that no room is made. */
	EXPECT_EQUAL(peer_receive(pair.driver_peer, &message, sizeof(message), fds, &fd_count), 0);
	while ((event = next_event(pipe_fd)).kind == SLUICE_EVENT_ACK)
		acks++;
	EXPECT_EQUAL(event.kind, SLUICE_EVENT_GONE);
	EXPECT_EQUAL(event.connection, pair.driver);
	EXPECT_EQUAL(sluice_successor_withdraw(SHARD), 0);
	EXPECT_EQUAL(settled_counter(&pair), 0);
	sluice_close(pair.successor_peer);
	while ((event = next_event(pipe_fd)).kind == SLUICE_EVENT_ACK)
		acks++;
	EXPECT_EQUAL(event.kind, SLUICE_EVENT_GONE);
	EXPECT_EQUAL(acks, filled);
	finish(&pair, true, true);
}

static void bad_orders_are_refused(void)
{
	struct sluice_attach_shard attach = {
		.message = { .kind = SLUICE_MESSAGE_ATTACH_SHARD, .bytes = sizeof(attach) },
		.shard = SHARD,
	};
	const int fds[SLUICE_SUCCESSOR_FDS] = { -1, -1, -1 };

	EXPECT_EQUAL(sluice_successor_name(1, 2, NULL, fds), -EINVAL);
	EXPECT_EQUAL(sluice_successor_name(1, 2, &attach, NULL), -EINVAL);
	attach.message.bytes--;
	EXPECT_EQUAL(sluice_successor_name(1, 2, &attach, fds), -EINVAL);
	attach.message.bytes++;
	attach.message.kind = SLUICE_MESSAGE_STOP;
	EXPECT_EQUAL(sluice_successor_name(1, 2, &attach, fds), -EINVAL);
	attach.message.kind = SLUICE_MESSAGE_ATTACH_SHARD;
	for (attach.shard = 0; attach.shard < SLUICE_MAX_WORKERS * SLUICE_MAX_INTERFACES;
	     attach.shard++)
		EXPECT_EQUAL(sluice_successor_name(1, 2, &attach, fds), 0);
	EXPECT_EQUAL(sluice_successor_name(1, 2, &attach, fds), -ENOSPC);
	while (attach.shard)
		EXPECT_EQUAL(sluice_successor_withdraw(--attach.shard), 0);
}

int main(void)
{
	struct veth_pair links;

	if (!veth_pair_possible()) {
		fputs("needs root for a network namespace\n", stderr);
		return EXIT_SKIPPED;
	}
	/* Abstract names live in the namespace: runs beside each other don't meet. */
	veth_pair_open(&links);
	pipe_fd = sluice_events_start(CHANNEL, 0);
	if (pipe_fd < 0)
		give_up("events: %s", strerror(-pipe_fd));
	bad_orders_are_refused();
	the_end_of_the_driver_gives_its_shards_away();
	what_was_withdrawn_is_not_carried_out();
	a_successor_that_is_gone_is_told_of();
	with_a_full_pipe_nothing_is_carried_out();
	sluice_events_stop();
	sluice_close(pipe_fd);
	return failures != 0;
}
