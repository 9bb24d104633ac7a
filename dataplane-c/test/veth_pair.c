#include "veth_pair.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_WORDS 32

void give_up(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

bool veth_pair_possible(void)
{
	return geteuid() == 0;
}

static void run_ip(char *const argv[], int input)
{
	posix_spawn_file_actions_t actions;
	pid_t child;
	int status, error;

	posix_spawn_file_actions_init(&actions);
	if (input >= 0)
		posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
	error = posix_spawnp(&child, "ip", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (error)
		give_up("ip: %s", strerror(error));
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			give_up("waitpid: %s", strerror(errno));
	if (status)
		give_up("ip %s %s …: status %d", argv[1], argv[2] ? argv[2] : "", status);
}

void ip(const char *format, ...)
{
	char line[512];
	char *argv[MAX_WORDS] = { "ip" };
	char *rest = line;
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (length < 0 || (size_t)length >= sizeof(line))
		give_up("ip: arguments too long");
	for (int i = 1; i < MAX_WORDS - 1; i++)
		argv[i] = strtok_r(i == 1 ? line : NULL, " ", &rest);
	run_ip(argv, -1);
}

void ip_batch(const char *commands)
{
	char *argv[] = { "ip", "-batch", "-", NULL };
	FILE *file = tmpfile();

	if (!file || fputs(commands, file) < 0 || fflush(file) || fseek(file, 0, SEEK_SET))
		give_up("tmpfile: %s", strerror(errno));
	run_ip(argv, fileno(file));
	fclose(file);
}

static int new_namespace(void)
{
	int fd;

	if (unshare(CLONE_NEWNET))
		give_up("unshare: %s", strerror(errno));
	fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		give_up("open namespace: %s", strerror(errno));
	return fd;
}

static void enter(int namespace)
{
	if (setns(namespace, CLONE_NEWNET))
		give_up("setns: %s", strerror(errno));
}

void enter_far(const struct veth_pair *pair)
{
	enter(pair->far_namespace);
}

void enter_near(const struct veth_pair *pair)
{
	enter(pair->near_namespace);
}

/* Until the kernel's link watch has given it a queue, an interface that is up drops what it sends. */
static void await_running(const char *name)
{
	const struct timespec period = { .tv_nsec = 1000000 };
	struct ifreq request = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		give_up("socket: %s", strerror(errno));
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	for (unsigned look = 0; look < 10000; look++) {
		if (ioctl(fd, SIOCGIFFLAGS, &request))
			give_up("flags of %s: %s", name, strerror(errno));
		if (request.ifr_flags & IFF_RUNNING)
			break;
		nanosleep(&period, NULL);
	}
	/* It is said to run a moment before the queue is there, all under the lock that this takes. */
	if (ioctl(fd, SIOCSIFFLAGS, &request))
		give_up("flags of %s: %s", name, strerror(errno));
	close(fd);
}

void veth_pair_open(struct veth_pair *pair)
{
	pair->far_namespace = new_namespace();
	pair->near_namespace = new_namespace();
	ip("link add near0 address 02:00:00:00:00:02 type veth peer name far0 address "
	   "02:00:00:00:00:01 netns /proc/%d/fd/%d",
	   (int)getpid(), pair->far_namespace);
	ip("link set lo up");
	ip("addr add " NEAR_ADDRESS "/24 dev near0");
	ip("addr add " NEAR_SECOND_ADDRESS "/24 dev near0");
	ip("link set near0 up");
	pair->near_ifindex = if_nametoindex("near0");
	enter_far(pair);
	ip("link set lo up");
	ip("addr add " FAR_ADDRESS "/24 dev far0");
	ip("link set far0 up");
	pair->far_ifindex = if_nametoindex("far0");
	await_running("far0");
	enter_near(pair);
	await_running("near0");
}

uint32_t be(const char *dotted)
{
	struct in_addr address;

	if (inet_pton(AF_INET, dotted, &address) != 1)
		give_up("%s is no address", dotted);
	return address.s_addr;
}

unsigned count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned count = 0;

	if (!directory)
		give_up("opendir: %s", strerror(errno));
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}
