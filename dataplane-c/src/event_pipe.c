#include "event_pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

static int writer = -1;

static uint32_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint32_t)((uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u);
}

int event_pipe_open(int *reader)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	*reader = ends[0];
	writer = ends[1];
	return 0;
}

void event_pipe_close(void)
{
	if (writer >= 0)
		close(writer);
	writer = -1;
}

bool event_pipe_try(struct sluice_event *event)
{
	ssize_t written;

	event->at_us = now_us();
	do {
		/* Shorter than PIPE_BUF: written whole or not at all. */
		written = write(writer, event, sizeof(*event));
	} while (written < 0 && errno == EINTR);
	return written > 0;
}

bool event_pipe_put(struct sluice_event *event, int stop)
{
	struct pollfd wait[] = {
		{ .fd = writer, .events = POLLOUT },
		{ .fd = stop, .events = POLLIN },
	};

	while (!event_pipe_try(event)) {
		if (errno != EAGAIN || poll(wait, 2, -1) < 0 || wait[1].revents)
			return false;
	}
	return true;
}
