/* A wait that fails once is no reason to see every later end of a worker late. */
#include "../src/life.h"
#include "expect.h"
#include "sluice.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FUTEX_WAITV_CALL 449
#define DEADLINE_MS      10000

/* ENOMEM to whoever waits for two futexes: the thread's own, and one worker's. */
static bool refuse_two_futexes(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FUTEX_WAITV_CALL, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOMEM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { .len = 6, .filter = filter };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void read_text(const char *thread, const char *name, char text[static 64])
{
	char path[300];
	ssize_t bytes;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%s/%s", thread, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	bytes = fd < 0 ? 0 : read(fd, text, 63);
	text[bytes < 0 ? 0 : bytes] = '\0';
	if (fd >= 0)
		close(fd);
}

/* The call that the watching thread waits in; -1: it runs, or there is none yet. */
static long call_of_watch(void)
{
	DIR *threads = opendir("/proc/self/task");
	char text[64];
	long call = -1;

	if (!threads)
		return -1;
	for (const struct dirent *entry; (entry = readdir(threads));) {
		read_text(entry->d_name, "comm", text);
		if (strcmp(text, "sluice-life\n") != 0)
			continue;
		read_text(entry->d_name, "syscall", text);
		call = text[0] == 'r' ? -1 : strtol(text, NULL, 10);
	}
	closedir(threads);
	return call;
}

static bool waits_in(long call)
{
	for (unsigned at = 0; at < DEADLINE_MS; at++) {
		if (call_of_watch() == call)
			return true;
		usleep(1000);
	}
	return false;
}

/* One whose packet thread lives, by its counters. */
static void watch_one(void)
{
	const uint64_t life = FUTEX_WAITERS | 1;
	const int memory = sluice_counters_create(SLUICE_WORKER_COUNTERS);

	EXPECT_EQUAL(pwrite(memory, &life, sizeof(life), SLUICE_WORKER_LIFE * 8), sizeof(life));
	EXPECT_EQUAL(sluice_life_watch(1, memory), 0);
	close(memory);
}

int main(void)
{
	if (syscall(FUTEX_WAITV_CALL, NULL, 0, 0, NULL, 0) < 0 && errno != EINVAL) {
		fprintf(stderr, "skipped: no futex_waitv (%s)\n", strerror(errno));
		return EXIT_SKIPPED;
	}
	EXPECT(refuse_two_futexes());
	watch_one();
	/* Between two attempts, each of them refused. */
	EXPECT(waits_in(SYS_clock_nanosleep));
	watch_one();
	EXPECT(waits_in(FUTEX_WAITV_CALL));
	life_watch_stop();
	return failures ? 1 : 0;
}
