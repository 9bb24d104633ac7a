/* A confined process does its work and nothing else: every forbidden call is tried, by every thread. */
#include "expect.h"
#include "sluice.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Calls that must answer EPERM whatever the arguments: with these, none could do harm. */
static const struct {
	const char *name;
	long call;
} forbidden[] = {
#define CALL(name)                \
	{                         \
#name, SYS_##name \
	}
	CALL(execve),
	CALL(execveat),
	CALL(ptrace),
	CALL(process_vm_readv),
	CALL(process_vm_writev),
	CALL(mount),
	CALL(umount2),
	CALL(pivot_root),
	CALL(chroot),
	CALL(bpf),
	CALL(perf_event_open),
	CALL(keyctl),
	CALL(add_key),
	CALL(request_key),
	CALL(unshare),
	CALL(setns),
	CALL(kexec_load),
	CALL(kexec_file_load),
	CALL(init_module),
	CALL(finit_module),
	CALL(delete_module),
	CALL(setuid),
	CALL(setgid),
	CALL(setreuid),
	CALL(setregid),
	CALL(setresuid),
	CALL(setresgid),
	CALL(setgroups),
	CALL(setfsuid),
	CALL(capset),
	CALL(io_uring_setup),
	CALL(io_uring_enter),
	CALL(io_uring_register),
	CALL(userfaultfd),
	CALL(seccomp),
	CALL(bind),
	CALL(listen),
	CALL(accept4),
	CALL(memfd_create),
	CALL(openat2),
	CALL(pidfd_open),
	CALL(pidfd_send_signal),
	CALL(pidfd_getfd),
	CALL(tkill),
	CALL(rt_sigqueueinfo),
	CALL(unlinkat),
	CALL(mkdirat),
	CALL(renameat2),
	CALL(fchmodat),
	CALL(ftruncate),
	CALL(sched_setaffinity),
	CALL(setpriority),
	CALL(setrlimit),
	CALL(personality),
	CALL(reboot),
	CALL(swapon),
	CALL(getdents64),
	CALL(syslog),
#ifdef SYS_fork
	CALL(fork),
	CALL(vfork),
	CALL(creat),
#endif
};

static int socket_error(int family, int type, int protocol)
{
	const int fd = socket(family, type, protocol);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int open_error(int flags)
{
	const int fd = open("/dev/null", flags);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static void *try_forbidden(void *unused)
{
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		errno = 0;
		if (syscall(forbidden[i].call, -1, 0, 0, 0, 0, 0) != -1 || errno != EPERM) {
			fprintf(stderr, "%s is not refused: %s\n", forbidden[i].name,
				strerror(errno));
			failures++;
		}
	}
	EXPECT_EQUAL(socket_error(AF_PACKET, SOCK_RAW, 0), EPERM);
	EXPECT_EQUAL(socket_error(AF_PACKET, SOCK_DGRAM, 0), EPERM);
	EXPECT_EQUAL(socket_error(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE), EPERM);
	EXPECT_EQUAL(socket_error(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM);
	EXPECT_EQUAL(socket_error(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), EPERM);
	EXPECT_EQUAL(socket_error(AF_UNIX, SOCK_STREAM, 0), EPERM);
	EXPECT_EQUAL(open_error(O_WRONLY), EPERM);
	EXPECT_EQUAL(open_error(O_RDWR), EPERM);
	EXPECT_EQUAL(open_error(O_RDONLY | O_TRUNC), EPERM);
	EXPECT(kill(getppid(), 0) && errno == EPERM);
	EXPECT(kill(-1, 0) && errno == EPERM);
	EXPECT(fork() == -1 && errno == EPERM);
	EXPECT(syscall(SYS_clone, SIGCHLD | CLONE_NEWUSER, 0, 0, 0, 0) == -1 && errno == EPERM);
	EXPECT(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) && errno == EPERM);
	return unused;
}

/* A thread made beforehand: the filter has to reach it, too. */
static int gate[2];

static void *try_when_confined(void *unused)
{
	char byte;

	EXPECT_EQUAL(read(gate[0], &byte, 1), 1);
	return try_forbidden(unused);
}

static void *just_end(void *unused)
{
	return unused;
}

static void the_rest_works(void)
{
	const int one = 1;
	const int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	struct sockaddr_in nobody = { .sin_family = AF_INET, .sin_port = htons(1) };
	struct pollfd nothing = { .fd = -1 };
	pthread_t thread;

	inet_pton(AF_INET, "127.0.0.1", &nobody.sin_addr);
	EXPECT(connect(tcp, (struct sockaddr *)&nobody, sizeof(nobody)) && errno == ECONNREFUSED);
	EXPECT_EQUAL(setsockopt(tcp, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
	EXPECT(setsockopt(tcp, SOL_SOCKET, SO_MARK, &one, sizeof(one)) && errno == EPERM);
	close(tcp);
	EXPECT_EQUAL(socket_error(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0) == EPERM, 0);
	EXPECT_EQUAL(socket_error(AF_UNIX, SOCK_SEQPACKET, 0), 0);
	EXPECT_EQUAL(open_error(O_RDONLY | O_CLOEXEC), 0);
	EXPECT_EQUAL(poll(&nothing, 1, 0), 0);
	EXPECT_EQUAL(pthread_create(&thread, NULL, just_end, NULL), 0);
	pthread_join(thread, NULL);
	EXPECT_EQUAL(kill(getpid(), 0), 0);
	EXPECT_EQUAL(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
	EXPECT(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
	       MAP_FAILED);
}

/* In a process of its own, since there is no way back. */
static int confined(void)
{
	pthread_t thread;

	EXPECT_EQUAL(pipe(gate), 0);
	EXPECT_EQUAL(pthread_create(&thread, NULL, try_when_confined, NULL), 0);
	EXPECT_EQUAL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	EXPECT_EQUAL(sluice_worker_confine(), 0);
	EXPECT_EQUAL(write(gate[1], "x", 1), 1);
	pthread_join(thread, NULL);
	try_forbidden(NULL);
	the_rest_works();
	return failures != 0;
}

int main(void)
{
	const pid_t child = fork();
	int status;

	if (child == 0)
		_exit(confined());
	EXPECT_EQUAL(waitpid(child, &status, 0), child);
	EXPECT(WIFEXITED(status));
	EXPECT_EQUAL(WEXITSTATUS(status), 0);
	return failures != 0;
}
