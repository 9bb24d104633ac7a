/* A worker's parts, for the files that share them: worker.c, duty_cycle.c, commands.c, snapshot.c. */
#ifndef SLUICE_WORKER_H
#define SLUICE_WORKER_H

#include <pthread.h>
#include <stdbool.h>

#include "engine.h"
#include "idle.h"
#include "journal.h"
#include "life.h"
#include "table.h"
#include "worker_channel.h"

struct sluice_worker {
	pthread_t thread;
	char channel_name[sizeof(((struct sockaddr_un *)0)->sun_path)];
	uint32_t slot;

	/* Shared by both threads; each has one writer. */
	int32_t state; /* packet thread; enum sluice_worker_state */
	int32_t error; /* packet thread, before state becomes FAIL */
	bool stop;     /* the caller; stop_event wakes the packet thread from poll */
	int stop_event;
	uint32_t idle_strategy; /* the caller; enum sluice_idle */

	/*
	 * Held by the caller while it copies a snapshot, and by the packet thread while it
	 * puts another table in force, which only ever tries: a swap waits for the
	 * snapshot, packets do not.
	 */
	pthread_mutex_t table_lock;
	struct table table;        /* memory NULL: none */
	struct table table_before; /* the packet thread's alone */
	uint64_t *counters;
	size_t counters_bytes;

	struct journal journal;
	struct mailbox notes;
	/* The pipe of sluice_worker_news(), and the packet thread's end of it. */
	int news_reader, news;

	/* The packet thread's alone. */
	int channel;
	struct engine *engine;
	struct life life;
	struct idle idle;
	struct table next_table; /* validated, waits for table_lock; memory NULL: none */
	uint64_t next_sequence;
	/* An ACK that found the channel full. No command is taken before it is sent. */
	bool ack_waits;
	uint64_t ack_sequence;
	int ack_result;
	bool waits_changed;
	/* Since when no supervisor has said anything, 0: the last one is there; next attempt. */
	uint64_t cut_off_ns, retry_ns;
	/* Shards that it drives, for the next supervisor. */
	uint32_t held[ENGINE_MAX_SHARDS];
	uint32_t held_count;
	bool stopped; /* by SLUICE_MESSAGE_STOP */
	struct command command;
};

/* The packet thread: until stopped, or nobody is there for too long, or something failed. */
void *duty_cycle(void *argument);

/* Told so by the supervisor, which has its ACK, or by the process. */
bool worker_must_stop(const struct sluice_worker *worker);

/*
 * Carries out what the supervisor has sent so far. 0; -ENOTCONN: the channel is gone;
 * -EPROTO: what came was no command.
 */
int commands_take(struct sluice_worker *worker);

#endif
