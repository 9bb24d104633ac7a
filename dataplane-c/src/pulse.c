#include "pulse.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "counters.h"

/* A second: where a heart stands still a look comes each 25 ms. */
#define MOST_STILL_LOOKS 40u

enum pulse_finding pulse_look(struct pulse *pulse, const uint64_t *counters)
{
	const uint64_t heartbeat = counter_read(&counters[SLUICE_WORKER_HEARTBEAT_NS]);
	const uint64_t batches = counter_read(&counters[SLUICE_WORKER_BATCHES]);
	const bool still = heartbeat && heartbeat == pulse->heartbeat;
	const bool works = batches != pulse->batches;

	pulse->heartbeat = heartbeat;
	pulse->batches = batches;
	pulse->still_looks = still ? pulse->still_looks + 1 : 0;
	if (still)
		return PULSE_STANDS_STILL;
	return works ? PULSE_WORKS : PULSE_IDLES;
}

/* By a signal (SIGSTOP); a process that is gone is not. */
static bool is_stopped(pid_t pid)
{
	char path[32], stat[128] = "";
	const char *state;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (read(fd, stat, sizeof(stat) - 1) < 0)
		stat[0] = '\0';
	close(fd);
	/* The name in parentheses, of 15 bytes at most, may hold anything; what follows holds none. */
	state = strrchr(stat, ')');
	return state && strncmp(state, ") T", 3) == 0;
}

uint32_t pulse_hang(const struct pulse *pulse, pid_t pid)
{
	if (is_stopped(pid))
		return SLUICE_HANG_STOPPED;
	return pulse->still_looks >= MOST_STILL_LOOKS ? SLUICE_HANG_STANDS_STILL : 0;
}
