/* Whether a packet thread works, by its counters; and how the supervisor hears that it does not. */
#include "../src/life.h"
#include "../src/pulse.h"
#include "expect.h"
#include "peer.h"

#include <dirent.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Runs beside each other don't meet. */
static char channel[32];

static uint64_t counters[SLUICE_WORKER_COUNTERS];
static struct pulse pulse;

static enum pulse_finding look(uint64_t heartbeat, uint64_t batches)
{
	counters[SLUICE_WORKER_HEARTBEAT_NS] = heartbeat;
	counters[SLUICE_WORKER_BATCHES] = batches;
	return pulse_look(&pulse, counters);
}

static void one_that_beats_is_fine_for_ever(void)
{
	EXPECT_EQUAL(look(0, 0), PULSE_IDLES);
	EXPECT_EQUAL(look(0, 0), PULSE_IDLES);
	for (uint64_t beat = 1; beat < 100; beat++) {
		EXPECT_EQUAL(look(beat, 0), PULSE_IDLES);
		for (unsigned still = 0; still < 39; still++)
			EXPECT_EQUAL(look(beat, 0), PULSE_STANDS_STILL);
		EXPECT_EQUAL(pulse_hang(&pulse, getpid()), 0);
	}
	EXPECT_EQUAL(look(100, 1), PULSE_WORKS);
	EXPECT_EQUAL(look(101, 1), PULSE_IDLES);
}

static void one_that_stands_still_for_forty_looks_hangs(void)
{
	for (unsigned still = 0; still < 40; still++) {
		EXPECT_EQUAL(pulse_hang(&pulse, getpid()), 0);
		EXPECT_EQUAL(look(101, 1), PULSE_STANDS_STILL);
	}
	EXPECT_EQUAL(pulse_hang(&pulse, getpid()), SLUICE_HANG_STANDS_STILL);
	EXPECT_EQUAL(look(102, 1), PULSE_IDLES);
	EXPECT_EQUAL(pulse_hang(&pulse, getpid()), 0);
}

static pid_t start_sleeper(void)
{
	pid_t child = fork();

	if (child == 0) {
		for (;;)
			pause();
	}
	return child;
}

static void a_stopped_process_hangs_at_once(void)
{
	const pid_t child = start_sleeper();

	EXPECT_EQUAL(pulse_hang(&pulse, child), 0);
	EXPECT_EQUAL(kill(child, SIGSTOP), 0);
	EXPECT_EQUAL(waitpid(child, NULL, WUNTRACED), child);
	EXPECT_EQUAL(pulse_hang(&pulse, child), SLUICE_HANG_STOPPED);
	EXPECT_EQUAL(kill(child, SIGKILL), 0);
	EXPECT_EQUAL(waitpid(child, NULL, 0), child);
	EXPECT_EQUAL(pulse_hang(&pulse, child), 0);
}

/* A thread that beat once and lives, by its counters. */
static void the_supervisor_is_told_again_and_again(void)
{
	const uint64_t figures[] = { 1, FUTEX_WAITERS | 1 };
	const int memory = sluice_counters_create(SLUICE_WORKER_COUNTERS);
	const int pipe = sluice_events_start(channel, (uint32_t)getuid());
	int peer;
	uint32_t connection;

	EXPECT(pipe >= 0);
	connection = peer_greet(channel, pipe, &peer, 0);
	EXPECT_EQUAL(pwrite(memory, figures, sizeof(figures), SLUICE_WORKER_HEARTBEAT_NS * 8),
		     sizeof(figures));
	EXPECT_EQUAL(sluice_life_watch(connection, memory), 0);
	for (unsigned times = 0; times < 2; times++) {
		const struct sluice_event event = next_event(pipe);

		EXPECT_EQUAL(event.kind, SLUICE_EVENT_HANGS);
		EXPECT_EQUAL(event.connection, connection);
		EXPECT_EQUAL(event.a, SLUICE_HANG_STANDS_STILL);
		EXPECT_EQUAL(event.b, figures[0]);
	}
	close(peer);
	sluice_events_stop();
	close(memory);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* How often the thread that looks has slept. */
static unsigned long looks(void)
{
	static const char SWITCHES[] = "voluntary_ctxt_switches:";
	DIR *threads = opendir("/proc/self/task");
	unsigned long slept = 0;
	char path[300], text[64];

	for (const struct dirent *entry; threads && (entry = readdir(threads));) {
		FILE *file;

		(void)snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
		file = fopen(path, "r");
		if (!file || !fgets(text, sizeof(text), file) || !strstr(text, "sluice-life")) {
			if (file)
				fclose(file);
			continue;
		}
		while (fgets(text, sizeof(text), file)) {
			if (!strncmp(text, SWITCHES, strlen(SWITCHES)))
				slept = strtoul(text + strlen(SWITCHES), NULL, 10);
		}
		fclose(file);
	}
	if (threads)
		closedir(threads);
	return slept;
}

static uint64_t *watch_one(uint32_t connection)
{
	const uint64_t life = FUTEX_WAITERS | 1;
	const int memory = sluice_counters_create(SLUICE_WORKER_COUNTERS);
	uint64_t *figures = mmap(NULL, SLUICE_WORKER_COUNTERS * sizeof(uint64_t),
				 PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);

	figures[SLUICE_WORKER_LIFE] = life;
	EXPECT_EQUAL(sluice_life_watch(connection, memory), 0);
	close(memory);
	return figures;
}

/* After packets, two workers that beat each 400 ms, 200 after each other. */
static void those_that_idle_out_of_step_are_looked_at_seldom(void)
{
	uint64_t *first = watch_one(1), *second = watch_one(2);
	const uint64_t start_ms = now_ms();
	uint64_t second_ms = start_ms;
	unsigned long before = 0, in_a_second = 1000;

	while (in_a_second > 15 && now_ms() < start_ms + 30000) {
		const uint64_t ms = now_ms() - start_ms;

		first[SLUICE_WORKER_BATCHES] = ms < 300 ? ms : 300;
		first[SLUICE_WORKER_HEARTBEAT_NS] = 1 + ms / 400;
		second[SLUICE_WORKER_HEARTBEAT_NS] = 1 + (ms + 200) / 400;
		if (now_ms() >= second_ms + 1000) {
			const unsigned long now = looks();
			const uint64_t at_ms = now_ms();

			in_a_second = before ? (now - before) * 1000 / (at_ms - second_ms) : 1000;
			before = now;
			second_ms = at_ms;
		}
		usleep(5000);
	}
	EXPECT(in_a_second <= 15);
	life_watch_stop();
}

int main(void)
{
	snprintf(channel, sizeof(channel), "sluice-pulse-test-%d", (int)getpid());
	one_that_beats_is_fine_for_ever();
	one_that_stands_still_for_forty_looks_hangs();
	a_stopped_process_hangs_at_once();
	the_supervisor_is_told_again_and_again();
	those_that_idle_out_of_step_are_looked_at_seldom();
	return failures ? 1 : 0;
}
