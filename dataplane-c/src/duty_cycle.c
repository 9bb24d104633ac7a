/*
 * The packet thread: work, and when there is none, wait. Commands are looked for
 * between batches, at most every COMMANDS_PERIOD_NS or COMMANDS_PERIOD_ROUNDS, so that
 * under load the channel costs no system call per packet.
 */
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "counters.h"
#include "reconnect.h"
#include "time_slice.h"
#include "worker.h"

#define COMMANDS_PERIOD_NS     1000000u
#define COMMANDS_PERIOD_ROUNDS 64u
#define SAMPLE_PERIOD_NS       100000000u
/* The kernel's shortest. */
#define TIME_SLICE_NS          100000u
#define WAIT_MS                100
/* When nothing has come for IDLE_AFTER_NS: whoever looks at its heart expects no more then (life_watch.c). */
#define BEAT_IDLE_MS           500
#define IDLE_AFTER_NS          1000000000u
/* While there is no channel: as often as a connection is tried. */
#define WAIT_CUT_OFF_MS        10

/* The channel, the stop event, and what the engine waits for. */
#define WAIT_CHANNEL 0u
#define WAIT_STOP    1u
#define WAIT_ENGINE  2u

struct cycle {
	struct sluice_worker *worker;
	uint64_t now_ns;
	uint64_t commands_ns, sample_ns, worked_ns;
	uint32_t rounds;
	uint32_t wait_count;
	struct pollfd waits[WAIT_ENGINE + ENGINE_MAX_SHARDS];
};

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool worker_must_stop(const struct sluice_worker *worker)
{
	/* Not before the ACK of the STOP is out. */
	return (worker->stopped && !worker->ack_waits) ||
	       __atomic_load_n(&worker->stop, __ATOMIC_ACQUIRE);
}

static void refresh_waits(struct cycle *cycle)
{
	struct sluice_worker *worker = cycle->worker;

	worker->waits_changed = false;
	/* While an ACK waits for room, what else the supervisor says has to wait too. */
	cycle->waits[WAIT_CHANNEL] = (struct pollfd){
		.fd = worker->channel,
		.events = worker->ack_waits ? POLLOUT : POLLIN,
	};
	cycle->waits[WAIT_STOP] = (struct pollfd){ .fd = worker->stop_event, .events = POLLIN };
	cycle->wait_count = WAIT_ENGINE +
			    worker->engine->ops->waits(worker->engine, cycle->waits + WAIT_ENGINE);
}

/* True when something came while looking. */
static bool spin(struct cycle *cycle, uint32_t strategy)
{
	struct sluice_worker *worker = cycle->worker;
	const uint32_t spin_ns = idle_spin_ns(&worker->idle, strategy);
	const uint64_t end_ns = cycle->now_ns + spin_ns;
	bool found = false;

	if (!spin_ns)
		return false;
	while (!found && monotonic_ns() < end_ns) {
		for (unsigned look = 0; look < 16 && !found; look++) {
			found = worker->engine->ops->ready(worker->engine);
#if defined(__x86_64__)
			__builtin_ia32_pause();
#endif
		}
	}
	if (strategy == SLUICE_IDLE_ADAPTIVE)
		idle_learn(&worker->idle, spin_ns, found);
	return found;
}

/* All threads that idle wake at the same moments, which costs less than each at its own. */
static int until_beat_ms(uint64_t now_ns)
{
	return BEAT_IDLE_MS - (int)(now_ns / 1000000u % BEAT_IDLE_MS);
}

static int wait_for_work(struct cycle *cycle)
{
	struct sluice_worker *worker = cycle->worker;
	/* A table that waits for a snapshot to end is tried again soon. */
	const bool idles = cycle->now_ns - cycle->worked_ns > IDLE_AFTER_NS;
	const int nothing_ms = idles ? until_beat_ms(cycle->now_ns) : WAIT_MS;
	const int table_ms = worker->next_table.memory ? 1 : nothing_ms;
	const int sleep_ms = worker->channel >= 0 ? table_ms : WAIT_CUT_OFF_MS;
	const uint32_t strategy = __atomic_load_n(&worker->idle_strategy, __ATOMIC_RELAXED);
	const bool sleeps = strategy != SLUICE_IDLE_SPIN;
	int woken;

	if (spin(cycle, strategy))
		return 0;
	if (worker->waits_changed)
		refresh_waits(cycle);
	woken = poll(cycle->waits, cycle->wait_count, sleeps ? sleep_ms : 0);
	if (woken < 0 && errno != EINTR)
		return -errno;
	if (worker->counters && sleeps)
		counter_add(&worker->counters[SLUICE_WORKER_WAKEUPS], 1);
	if (woken <= 0)
		return 0;
	if (cycle->waits[WAIT_CHANNEL].revents)
		cycle->commands_ns = 0;
	worker->engine->ops->woken(worker->engine, cycle->waits + WAIT_ENGINE,
				   cycle->wait_count - WAIT_ENGINE);
	return 0;
}

/* A report that finds the channel full comes again with the next sample. */
static void sample(const struct sluice_worker *worker)
{
	uint32_t deaf[ENGINE_MAX_SHARDS];
	uint32_t count = worker->engine->ops->sample(worker->engine, deaf);

	while (count-- > 0 && worker->channel >= 0)
		(void)worker_channel_report(worker->channel, REPORT_DEAF, deaf[count], 0);
}

/* What is done between batches now and then. Both may be due at once, and always are where a batch takes long. */
static int tend(struct cycle *cycle)
{
	struct sluice_worker *worker = cycle->worker;
	int error = worker->cut_off_ns ? reconnect(worker, cycle->now_ns) : 0;

	if (error)
		return error;

	if (cycle->now_ns - cycle->commands_ns >= COMMANDS_PERIOD_NS ||
	    cycle->rounds >= COMMANDS_PERIOD_ROUNDS) {
		cycle->commands_ns = cycle->now_ns;
		cycle->rounds = 0;
		error = worker->channel >= 0 ? commands_take(worker) : 0;
		if (error == -ENOTCONN)
			error = cut_off(worker, cycle->now_ns);
	}
	if (!error && cycle->now_ns - cycle->sample_ns >= SAMPLE_PERIOD_NS) {
		cycle->sample_ns = cycle->now_ns;
		sample(worker);
	}
	return error;
}

static int run(struct sluice_worker *worker)
{
	struct cycle cycle = { .worker = worker };
	int error = 0;

	worker->waits_changed = true;
	while (!error && !worker_must_stop(worker)) {
		cycle.now_ns = monotonic_ns();
		if (worker->counters)
			counter_set(&worker->counters[SLUICE_WORKER_HEARTBEAT_NS], cycle.now_ns);
		error = tend(&cycle);
		cycle.rounds++;
		if (error)
			break;
		if (worker->engine->ops->work(worker->engine))
			cycle.worked_ns = cycle.now_ns;
		else
			error = wait_for_work(&cycle);
	}
	return error;
}

void *duty_cycle(void *argument)
{
	struct sluice_worker *worker = argument;
	int error;

	/* Before the supervisor hears of the thread, which it may make real-time: it knows it by this name. */
	pthread_setname_np(pthread_self(), "sluice-packets");
	/* A wish: nothing depends on it. */
	(void)time_slice_set(TIME_SLICE_NS);
	error = connect_patiently(worker);
	if (!error) {
		__atomic_store_n(&worker->state, SLUICE_WORKER_RUN, __ATOMIC_RELEASE);
		journal_write(&worker->journal, JOURNAL_INFO, SLUICE_FACILITY_CHANNEL,
			      "connected as slot %u, engine %s", worker->slot,
			      worker->engine->ops->name);
		error = run(worker);
	}
	/* The slots and counters of the last batch are whole: a successor may begin. */
	worker->engine->ops->close(worker->engine);
	worker->engine = NULL;
	if (error && error != -ENOTCONN && !worker_must_stop(worker)) {
		if (worker->channel >= 0)
			worker_channel_report(worker->channel, REPORT_FAILED,
					      (uint64_t)(int64_t)error, 0);
		__atomic_store_n(&worker->error, error, __ATOMIC_RELAXED);
		__atomic_store_n(&worker->state, SLUICE_WORKER_FAIL, __ATOMIC_RELEASE);
	} else {
		journal_write(&worker->journal, JOURNAL_INFO, SLUICE_FACILITY_CHANNEL, "%s",
			      error == -ENOTCONN ? "the supervisor closed the channel" : "stopped");
		__atomic_store_n(&worker->state, SLUICE_WORKER_HALT, __ATOMIC_RELEASE);
	}
	(void)!write(worker->news, "", 1);
	if (worker->channel >= 0)
		close(worker->channel);
	worker->channel = -1;
	return NULL;
}
