/* A worker's life as its own process sees it. */
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "mapping.h"

static void free_worker(struct sluice_worker *worker)
{
	table_unmap(&worker->next_table);
	table_unmap(&worker->table_before);
	table_unmap(&worker->table);
	mapping_close(worker->counters, worker->counters_bytes);
	if (worker->stop_event >= 0)
		close(worker->stop_event);
	pthread_mutex_destroy(&worker->table_lock);
	mailbox_close(&worker->journal.lines);
	mailbox_close(&worker->notes);
	if (worker->news_reader >= 0)
		close(worker->news_reader);
	if (worker->news >= 0)
		close(worker->news);
	free(worker);
}

/* Pinned before it runs, all signals blocked: they are the process's. */
static int start_thread(struct sluice_worker *worker, int32_t core)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int error;

	error = pthread_attr_init(&attributes);
	if (error)
		return -error;
	if (core >= 0) {
		cpu_set_t cores;

		CPU_ZERO(&cores);
		if (core < CPU_SETSIZE)
			CPU_SET((size_t)core, &cores);
		error = pthread_attr_setaffinity_np(&attributes, sizeof(cores), &cores);
	}
	if (!error) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		error = pthread_create(&worker->thread, &attributes, duty_cycle, worker);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	pthread_attr_destroy(&attributes);
	return -error;
}

int sluice_worker_start(const char *channel_name, uint32_t slot, int32_t core,
			struct sluice_worker **result)
{
	struct sluice_worker *worker;
	int news[2] = { -1, -1 };
	int error = 0;

	if (!channel_name || !result || slot >= SLUICE_MAX_WORKERS ||
	    strlen(channel_name) >= sizeof(worker->channel_name))
		return -EINVAL;
	worker = calloc(1, sizeof(*worker));
	if (!worker)
		return -ENOMEM;
	memcpy(worker->channel_name, channel_name, strlen(channel_name));
	worker->slot = slot;
	worker->channel = -1;
	pthread_mutex_init(&worker->table_lock, NULL);
	worker->stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->stop_event < 0 || pipe2(news, O_CLOEXEC | O_NONBLOCK))
		error = -errno;
	worker->news_reader = news[0];
	worker->news = news[1];
	mailbox_open(&worker->journal.lines, worker->news);
	mailbox_open(&worker->notes, worker->news);
	if (!error) {
		worker->engine = packet_engine_open(&worker->journal);
		if (!worker->engine)
			error = -ENOMEM;
	}
	if (!error) {
		error = start_thread(worker, core);
		if (error)
			worker->engine->ops->close(worker->engine);
	}
	if (error) {
		free_worker(worker);
		return error;
	}
	*result = worker;
	return 0;
}

int sluice_worker_set_idle(struct sluice_worker *worker, uint32_t idle)
{
	if (!worker || idle > SLUICE_IDLE_SPIN)
		return -EINVAL;
	__atomic_store_n(&worker->idle_strategy, idle, __ATOMIC_RELAXED);
	return 0;
}

int sluice_worker_state(const struct sluice_worker *worker, int32_t *error)
{
	int32_t state = __atomic_load_n(&worker->state, __ATOMIC_ACQUIRE);

	if (error)
		*error = state == SLUICE_WORKER_FAIL
				 ? __atomic_load_n(&worker->error, __ATOMIC_RELAXED)
				 : 0;
	return state;
}

void sluice_worker_stop(struct sluice_worker *worker)
{
	const uint64_t one = 1;

	if (!worker)
		return;
	__atomic_store_n(&worker->stop, true, __ATOMIC_RELEASE);
	/* Can't fail: the counter is far from its end. */
	(void)!write(worker->stop_event, &one, sizeof(one));
	pthread_join(worker->thread, NULL);
	free_worker(worker);
}

int sluice_worker_news(const struct sluice_worker *worker)
{
	return worker->news_reader;
}

int sluice_worker_take_note(struct sluice_worker *worker, void *buffer, uint32_t capacity)
{
	return (int)mailbox_take(&worker->notes, buffer, capacity);
}

int sluice_worker_take_line(struct sluice_worker *worker, void *buffer, uint32_t capacity)
{
	return (int)journal_take(&worker->journal, buffer, capacity);
}
