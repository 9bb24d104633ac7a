/* Processes that are somebody else's children: told by a descriptor, which no other can take over. */
#include "sluice.h"

#include <errno.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

int sluice_process_open(int32_t pid)
{
	/* CLOEXEC by itself. */
	long fd = syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : (int)fd;
}

int sluice_process_has_ended(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	if (poll(&wait, 1, 0) < 0)
		return errno == EINTR ? 0 : -errno;
	return (wait.revents & POLLIN) != 0;
}

int sluice_process_signal(int fd, int32_t signal)
{
	return syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) ? -errno : 0;
}
