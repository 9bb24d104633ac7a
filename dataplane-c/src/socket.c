#include "socket.h"

#include <errno.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include <unistd.h>

int socket_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) ? -errno : 0;
}

int socket_drop_all(int fd)
{
	struct sock_filter drop[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
	struct sock_fprog program = { .len = 1, .filter = drop };

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)))
		return -errno;
	return 0;
}

int socket_lock_filter(int fd)
{
	return socket_option(fd, SOL_SOCKET, SO_LOCK_FILTER, 1);
}

int socket_open_deaf(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error;

	if (fd < 0)
		return -errno;
	error = socket_drop_all(fd);
	if (!error)
		error = socket_lock_filter(fd);
	if (!error)
		return fd;
	close(fd);
	return error;
}

int socket_bind_interface(int fd, unsigned ifindex)
{
	return socket_option(fd, SOL_SOCKET, SO_BINDTOIFINDEX, (int)ifindex);
}
