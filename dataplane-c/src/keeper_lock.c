#include "keeper_lock.h"
#include "keeper_log.h"
#include "keeper_time.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_EACH_MS    20
/* A supervisor that is told to stop takes 4 s at most. */
#define PATIENCE_MS     10000
/* For the kernel to end what was killed. */
#define KILLED_LIMIT_MS 2000

static bool has_open(pid_t pid, const struct stat *file)
{
	char path[64];
	bool found = false;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	folder = opendir(path);
	if (!folder)
		return false;
	for (const struct dirent *entry; !found && (entry = readdir(folder));) {
		struct stat about;

		found = fstatat(dirfd(folder), entry->d_name, &about, 0) == 0 &&
			about.st_dev == file->st_dev && about.st_ino == file->st_ino;
	}
	closedir(folder);
	return found;
}

static void kill_holders(int fd)
{
	struct stat file;
	DIR *processes = opendir("/proc");

	if (!processes || fstat(fd, &file)) {
		if (processes)
			closedir(processes);
		return;
	}
	for (const struct dirent *entry; (entry = readdir(processes));) {
		const pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid <= 0 || pid == getpid() || !has_open(pid, &file))
			continue;
		keeper_log("warn",
			   "\"msg\":\"a process that another keeper left is killed\",\"pid\":%d",
			   (int)pid);
		kill(pid, SIGKILL);
	}
	closedir(processes);
}

static bool is_asked_to_stop(int signals, int input)
{
	struct pollfd events[] = {
		{ .fd = signals, .events = POLLIN },
		/* The line of configuration may wait there: only the end counts. */
		{ .fd = input, .events = 0 },
	};

	poll(events, 2, LOOK_EACH_MS);
	return events[0].revents || events[1].revents & (POLLHUP | POLLERR);
}

static int wait_for(int fd, int signals, int input)
{
	const int64_t start_ms = keeper_now_ms(CLOCK_MONOTONIC);
	bool has_told = false, has_killed = false;

	while (flock(fd, LOCK_EX | LOCK_NB)) {
		const int64_t waited_ms = keeper_now_ms(CLOCK_MONOTONIC) - start_ms;

		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (!has_told)
			keeper_log("warn", "\"msg\":\"waiting for the end of what another keeper "
					   "left\"");
		has_told = true;
		if (waited_ms > PATIENCE_MS + KILLED_LIMIT_MS)
			return -ETIMEDOUT;
		if (waited_ms > PATIENCE_MS && !has_killed) {
			kill_holders(fd);
			has_killed = true;
		}
		if (is_asked_to_stop(signals, input))
			return -EINTR;
	}
	return 0;
}

int lock_take(const char *path, int signals, int input)
{
	const int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int error;

	if (fd < 0)
		return -errno;
	error = wait_for(fd, signals, input);
	if (!error)
		return fd;
	close(fd);
	return error;
}
