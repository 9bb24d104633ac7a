/*
 * The worker's side of a supervisor's death: the packet thread goes on with what it holds,
 * and tells the next supervisor, on the same name, what that is.
 */
#include "reconnect.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_PATIENCE_NS 5000000000u
#define CONNECT_PERIOD_NS   10000000u
/* Whoever keeps supervisors running needs less, also when they crash again and again. */
#define CUT_OFF_PATIENCE_NS 60000000000u

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The channel is new and has room for it all. */
static int introduce(const struct sluice_worker *worker)
{
	const uint64_t about = SLUICE_ABI_VERSION | (uint64_t)worker->held_count << 32;
	int error = worker_channel_report(worker->channel, REPORT_HELLO, worker->slot, about);

	for (uint32_t at = 0; at < worker->held_count && !error; at++)
		error = worker_channel_report(worker->channel, REPORT_HOLDS, worker->held[at], 0);
	return error;
}

int connect_patiently(struct sluice_worker *worker)
{
	const struct timespec period = { .tv_nsec = CONNECT_PERIOD_NS };
	const uint64_t deadline_ns = monotonic_ns() + CONNECT_PATIENCE_NS;
	int channel;

	for (;;) {
		channel = worker_channel_connect(worker->channel_name);
		if (channel >= 0)
			break;
		/* EAGAIN: its backlog is full. */
		if (channel != -ECONNREFUSED && channel != -EAGAIN)
			return channel;
		if (monotonic_ns() > deadline_ns || worker_must_stop(worker))
			return channel;
		nanosleep(&period, NULL);
	}
	worker->channel = channel;
	return introduce(worker);
}

int cut_off(struct sluice_worker *worker, uint64_t now_ns)
{
	/* Nobody has given it anything yet, or it was told to stop: it has nothing to go on with. */
	if (!worker->counters || worker->stopped)
		return -ENOTCONN;
	if (!worker->cut_off_ns)
		journal_write(&worker->journal, JOURNAL_WARN, SLUICE_FACILITY_CHANNEL,
			      "the supervisor is gone: packets go on");
	close(worker->channel);
	worker->channel = -1;
	worker->retry_ns = now_ns + CONNECT_PERIOD_NS;
	if (!worker->cut_off_ns)
		worker->cut_off_ns = now_ns;
	/* What was promised to the one that is gone, nobody waits for any more. */
	worker->ack_waits = false;
	table_unmap(&worker->next_table);
	worker->waits_changed = true;
	return 0;
}

int reconnect(struct sluice_worker *worker, uint64_t now_ns)
{
	if (worker->cut_off_ns && now_ns - worker->cut_off_ns > CUT_OFF_PATIENCE_NS)
		return -ENOTCONN;
	if (worker->channel >= 0 || now_ns < worker->retry_ns)
		return 0;
	worker->retry_ns = now_ns + CONNECT_PERIOD_NS;
	worker->channel = worker_channel_connect(worker->channel_name);
	if (worker->channel < 0)
		return 0;
	worker->waits_changed = true;
	return introduce(worker) ? cut_off(worker, now_ns) : 0;
}

void heard(struct sluice_worker *worker)
{
	if (!worker->cut_off_ns)
		return;
	worker->cut_off_ns = 0;
	journal_write(&worker->journal, JOURNAL_INFO, SLUICE_FACILITY_CHANNEL,
		      "another supervisor took over, with %u shards", worker->held_count);
}
