/* Processes that are somebody else's children: told by a descriptor, which no other can take over. */
#include "sluice.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* <linux/pidfd.h> of Linux 6.15; older headers, which we build with as well, have none of it. */
struct exit_info {
	uint64_t mask;
	uint64_t of_no_concern;
	uint32_t ids[11];
	int32_t exit_code; /* a wait status */
};
#define GET_EXIT_INFO _IOWR(0xFF, 11, struct exit_info)
#define INFO_EXIT     (UINT64_C(1) << 3)

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

int sluice_process_exit_status(int fd)
{
	struct exit_info info = { .mask = INFO_EXIT };

	if (ioctl(fd, GET_EXIT_INFO, &info))
		return -errno;
	return info.mask & INFO_EXIT ? info.exit_code : -EAGAIN;
}

int sluice_process_signal(int fd, int32_t signal)
{
	return syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) ? -errno : 0;
}
