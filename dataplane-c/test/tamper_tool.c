/*
 * Takes a copy of another process's capture socket, drops every privilege, and tries what
 * a worker must not be able to do with it. Usage: tamper PID FD UID, as root. Prints one line.
 */
#include <errno.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int flag(int fd, int level, int option)
{
	int value = 0;
	socklen_t length = sizeof(value);

	return getsockopt(fd, level, option, &value, &length) ? -errno : value;
}

static const char *tried(int result)
{
	if (result == 0)
		return "done";
	return errno == EPERM ? "EPERM" : "another error";
}

int main(int argc, char **argv)
{
	struct sock_filter pass_all = { BPF_RET | BPF_K, 0, 0, 0xffffffffu };
	struct sock_fprog filter = { .len = 1, .filter = &pass_all };
	uid_t uid;
	int zero = 0, fd;

	if (argc != 4)
		return 2;
	uid = (uid_t)strtol(argv[3], NULL, 10);
	fd = (int)syscall(SYS_pidfd_getfd,
			  syscall(SYS_pidfd_open, (int)strtol(argv[1], NULL, 10), 0),
			  (int)strtol(argv[2], NULL, 10), 0);
	if (fd < 0 || setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid)) {
		perror("tamper");
		return 1;
	}
	printf("fanout=%d locked=%d detach=%s attach=%s unlock=%s\n",
	       flag(fd, SOL_PACKET, PACKET_FANOUT) > 0, flag(fd, SOL_SOCKET, SO_LOCK_FILTER),
	       tried(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &zero, sizeof(zero))),
	       tried(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter))),
	       tried(setsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &zero, sizeof(zero))));
	return 0;
}
