/*
 * One thread waits for the end of every packet thread. Of one that ended it gives the shards
 * to those that were named for them, and ends the connection. Meanwhile it looks whether
 * their hearts beat, so that the supervisor itself need not wake up for that.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "connections.h"
#include "event_pipe.h"
#include "life.h"
#include "mapping.h"
#include "pulse.h"
#include "sluice.h"
#include "succession.h"
#include "time_slice.h"

/* Linux 5.16; older uapi headers lack it. */
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

/* As many futexes as the kernel waits for at once (FUTEX_WAITV_MAX), one of which is ours. */
#define MAX_WATCHES 127u

/* While packets flow, and where a heart stands still. */
#define CLOSE_LOOK_NS 25000000u
/* As between two beats of a worker that idles, and a moment after them: each look finds another. */
#define IDLE_LOOK_NS  500000000u
#define AFTER_BEAT_NS 5000000u
/* After the last packet. */
#define CLOSE_LOOKS   40u
/* More of them than come between two beats of one that idles. */
#define BEAT_LOOKS    24u

/* struct futex_waitv. */
struct waiter {
	uint64_t value;
	uint64_t address;
	uint32_t flags;
	uint32_t reserved;
};
#define WAITER_32BIT 2u /* FUTEX_32, and shared between processes */

_Static_assert(MAX_CONNECTIONS <= MAX_WATCHES + 1, "a watch for each worker's connection");

struct watch {
	uint32_t connection;
	uint32_t thread;
	pid_t process;
	bool suspect; /* its heart stood still for longer than one that idles does */
	struct pulse pulse;
	void *memory;
	size_t bytes;
};

static struct {
	pthread_mutex_t lock;
	pthread_t thread;
	bool running, stop;
	bool one_by_one; /* before Linux 5.16, or by the leave of a container: looks see the ends as well */
	uint32_t changes;     /* a futex: moves with each change that the thread is to see */
	uint32_t close_looks; /* left of them */
	bool close;           /* the next look comes CLOSE_LOOK_NS after the last one */
	uint64_t look_at_ns;  /* the next look at hearts, monotonic; 0: at nobody's */
	uint32_t count;
	struct watch watches[MAX_WATCHES];
} life = { .lock = PTHREAD_MUTEX_INITIALIZER };

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static const uint32_t *word_of(const struct watch *watch)
{
	const uint64_t *counters = watch->memory;

	return (const uint32_t *)(const void *)&counters[SLUICE_WORKER_LIFE];
}

/* The kernel marks it, a successor writes another id; whoever else writes it is in foreign hands. */
static bool has_ended(const struct watch *watch, uint32_t value)
{
	return value != (watch->thread | FUTEX_WAITERS);
}

/* With the lock held. */
static void forget(uint32_t at)
{
	mapping_close(life.watches[at].memory, life.watches[at].bytes);
	life.watches[at] = life.watches[--life.count];
}

/* A full pipe is tried again at the next look. */
static void tell_if_hung(const struct watch *watch)
{
	struct sluice_event event = {
		.kind = SLUICE_EVENT_HANGS,
		.connection = watch->connection,
		.pid = (uint32_t)watch->process,
		.a = pulse_hang(&watch->pulse, watch->process),
		.b = watch->pulse.heartbeat,
	};

	if (event.a)
		(void)event_pipe_try(&event);
}

/* With the lock held. True when it was time to. */
static bool look_at_hearts(void)
{
	const uint64_t now_ns = monotonic_ns();
	const bool due = life.count && now_ns >= life.look_at_ns;
	bool suspects = false;

	if (!life.count)
		life.look_at_ns = 0;
	if (!due)
		return false;
	if (life.close_looks)
		life.close_looks--;
	for (uint32_t at = 0; at < life.count; at++) {
		struct watch *watch = &life.watches[at];
		const enum pulse_finding finding = pulse_look(&watch->pulse, watch->memory);

		if (finding == PULSE_STANDS_STILL)
			tell_if_hung(watch);
		if (finding == PULSE_WORKS)
			life.close_looks = CLOSE_LOOKS;
		/* Of several that idle there is always one that has not beaten since a close look. */
		watch->suspect =
			finding == PULSE_STANDS_STILL &&
			(watch->suspect || !life.close || watch->pulse.still_looks > BEAT_LOOKS);
		suspects |= watch->suspect;
	}
	life.close = suspects || life.close_looks;
	if (life.close)
		life.look_at_ns = now_ns + CLOSE_LOOK_NS;
	else
		life.look_at_ns = now_ns - now_ns % IDLE_LOOK_NS + IDLE_LOOK_NS + AFTER_BEAT_NS;
	return true;
}

/*
 * What to wait for, unless somebody ended meanwhile, which is told. False: the thread is to end.
 * No news: woken for nothing, as a worker in foreign hands can do without end.
 */
static bool look(struct waiter *waiters, uint32_t *count, bool *news)
{
	bool going_on;

	pthread_mutex_lock(&life.lock);
	*news = waiters[0].value != life.changes;
	waiters[0] = (struct waiter){ .value = life.changes,
				      .address = (uintptr_t)&life.changes,
				      .flags = WAITER_32BIT };
	*count = 1;
	for (uint32_t at = life.count; at-- > 0;) {
		const uint32_t *word = word_of(&life.watches[at]);
		const uint32_t value = __atomic_load_n(word, __ATOMIC_ACQUIRE);

		if (has_ended(&life.watches[at], value)) {
			succession_carry_out(life.watches[at].connection);
			sluice_channel_disconnect(life.watches[at].connection);
			forget(at);
			*news = true;
			continue;
		}
		waiters[(*count)++] = (struct waiter){ .value = value,
						       .address = (uintptr_t)word,
						       .flags = WAITER_32BIT };
	}
	*news |= look_at_hearts();
	going_on = !life.stop;
	pthread_mutex_unlock(&life.lock);
	return going_on;
}

/* Until one of them moves, or the next look is due. */
static void await_change(const struct waiter *waiters, uint32_t count)
{
	const struct timespec due = { .tv_sec = (time_t)(life.look_at_ns / 1000000000u),
				      .tv_nsec = (long)(life.look_at_ns % 1000000000u) };
	const struct timespec *until = life.look_at_ns ? &due : NULL;

	if (life.one_by_one)
		(void)syscall(SYS_futex, &life.changes, FUTEX_WAIT_BITSET, waiters[0].value, until,
			      NULL, FUTEX_BITSET_MATCH_ANY);
	else if (syscall(SYS_futex_waitv, waiters, count, 0, until, CLOCK_MONOTONIC) < 0)
		/* Whatever else it says may have passed the next time. */
		life.one_by_one = errno == ENOSYS || errno == EPERM;
}

static void *run(void *unused)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct waiter waiters[MAX_WATCHES + 1];
	uint32_t count;
	bool news;

	(void)unused;
	/* None that it had. */
	waiters[0].value = UINT64_MAX;
	/* A wish: nothing depends on it. */
	(void)time_run_at_once();
	while (look(waiters, &count, &news)) {
		/* This thread comes before all others: it must not be kept busy. */
		if (!news)
			nanosleep(&pause, NULL);
		await_change(waiters, count);
	}
	return NULL;
}

/* With the lock held. */
static int start_thread(void)
{
	sigset_t all, before;
	int error;

	if (life.running)
		return 0;
	life.stop = false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&life.thread, NULL, run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		return -error;
	pthread_setname_np(life.thread, "sluice-life");
	life.running = true;
	return 0;
}

/* With the lock held. */
static void tell_thread(void)
{
	__atomic_add_fetch(&life.changes, 1, __ATOMIC_RELEASE);
	(void)syscall(SYS_futex, &life.changes, FUTEX_WAKE, 1, NULL, NULL, 0);
}

int sluice_life_watch(uint32_t connection, int counters_fd)
{
	struct watch watch = { .connection = connection };
	struct connection worker;
	int error = mapping_open(counters_fd, MAPPING_SHARED,
				 SLUICE_WORKER_COUNTERS * sizeof(uint64_t), &watch.memory,
				 &watch.bytes);

	if (error)
		return error;
	if (connections_find(connection, &worker))
		watch.process = worker.pid;
	watch.thread = __atomic_load_n(word_of(&watch), __ATOMIC_ACQUIRE) & FUTEX_TID_MASK;
	pthread_mutex_lock(&life.lock);
	error = life.count == MAX_WATCHES ? -ENOSPC : start_thread();
	if (!error) {
		life.watches[life.count++] = watch;
		tell_thread();
	} else {
		mapping_close(watch.memory, watch.bytes);
	}
	pthread_mutex_unlock(&life.lock);
	return error;
}

void life_watch_stop(void)
{
	pthread_t thread;
	bool running;

	pthread_mutex_lock(&life.lock);
	running = life.running;
	thread = life.thread;
	life.stop = true;
	life.running = false;
	tell_thread();
	pthread_mutex_unlock(&life.lock);
	if (running)
		pthread_join(thread, NULL);
	pthread_mutex_lock(&life.lock);
	while (life.count)
		forget(0);
	pthread_mutex_unlock(&life.lock);
}
