#include "keeper_rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_MS      15000
#define LOOK_EACH_US  2000
#define CONFIG        "{\"secret\":1}\nwhat follows is for nobody\n"
/* Of the keeper, at most. */
#define RIG_OPTIONS   4
#define RUNS_VARIABLE "KEEPER_RIG_RUNS"

int64_t rig_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Runs are counted in a memfd of the test's that the command finds by path. */
static int runs_open(void)
{
	static int runs = -1;
	char path[64];

	if (runs < 0)
		runs = memfd_create("runs", MFD_CLOEXEC);
	(void)!ftruncate(runs, 0);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), runs);
	return setenv(RUNS_VARIABLE, path, 1);
}

bool rig_has_run(const char *role)
{
	const char *path = getenv(RUNS_VARIABLE);
	const int fd = path ? open(path, O_RDWR | O_APPEND | O_CLOEXEC) : -1;
	const bool has_run = lseek(fd, 0, SEEK_END) > 0;

	(void)!write(fd, role, strlen(role));
	close(fd);
	return has_run;
}

static void forbid_kcmp(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_kcmp, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
		perror("seccomp");
		_exit(1);
	}
}

/* What is NULL ends the arguments. */
static void be_keeper(const char *role, const char *const options[], int input, int output)
{
	const char *arguments[RIG_OPTIONS + 8] = { "sluice-keeper", "--name", role };
	size_t count = 3;
	char self[4096], keeper[4200];
	const ssize_t bytes = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[bytes > 0 ? bytes : 0] = 0;
	snprintf(keeper, sizeof(keeper), "%.*s/../sluice-keeper", (int)(strrchr(self, '/') - self),
		 self);
	dup2(input, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	for (size_t i = 0; i < RIG_OPTIONS && options[i]; i++)
		arguments[count++] = options[i];
	arguments[count++] = "--";
	arguments[count++] = self;
	arguments[count++] = "command";
	arguments[count] = role;
	execv(keeper, (char *const *)arguments);
	perror(keeper);
	_exit(1);
}

static struct keeper_rig start_after(void (*prepare)(void), const char *role,
				     const char *const options[])
{
	int input[2], output[2];
	pid_t pid;

	if (runs_open() || pipe2(input, O_CLOEXEC) || pipe2(output, O_CLOEXEC)) {
		perror("rig");
		exit(1);
	}
	pid = fork();
	if (pid == 0) {
		if (prepare)
			prepare();
		be_keeper(role, options, input[0], output[1]);
	}
	close(input[0]);
	close(output[1]);
	(void)!write(input[1], CONFIG, strlen(CONFIG));
	return (struct keeper_rig){ .keeper = pid, .input = input[1], .output = output[0] };
}

static struct keeper_rig start_with(const char *role, const char *const options[])
{
	return start_after(NULL, role, options);
}

struct keeper_rig rig_start(const char *role)
{
	return start_with(role, (const char *[]){ NULL });
}

struct keeper_rig rig_start_without_kcmp(const char *role)
{
	return start_after(forbid_kcmp, role, (const char *[]){ NULL });
}

static void limit_descriptors(void)
{
	const struct rlimit few = { 128, 128 };

	if (setrlimit(RLIMIT_NOFILE, &few)) {
		perror("setrlimit");
		_exit(1);
	}
}

struct keeper_rig rig_start_limited(const char *role, const char *lock)
{
	return start_after(limit_descriptors, role, (const char *[]){ "--lock", lock, NULL });
}

static int heard_by;

static void speak_there(void)
{
	dup2(heard_by, STDERR_FILENO);
}

struct keeper_rig rig_start_heard(const char *role, int errors)
{
	heard_by = errors;
	return start_after(speak_there, role, (const char *[]){ NULL });
}

struct keeper_rig rig_start_locked(const char *role, const char *lock)
{
	return start_with(role, (const char *[]){ "--lock", lock, NULL });
}

struct keeper_rig rig_start_given(const char *role, int first, int second)
{
	char texts[2][32];

	snprintf(texts[0], sizeof(texts[0]), "%d=given/0", first);
	snprintf(texts[1], sizeof(texts[1]), "%d=given/1", second);
	return start_with(role, (const char *[]){ "--keep", texts[0], "--keep", texts[1], NULL });
}

const char *rig_line(const struct keeper_rig *rig)
{
	static char line[1024];
	struct pollfd ready = { .fd = rig->output, .events = POLLIN };
	size_t at = 0;

	while (at < sizeof(line) - 1 && poll(&ready, 1, LIMIT_MS) == 1 &&
	       read(rig->output, line + at, 1) == 1 && line[at] != '\n')
		at++;
	line[at] = 0;
	return line;
}

static int wait_for(struct keeper_rig *rig)
{
	const int64_t limit_ms = rig_now_ms() + LIMIT_MS;
	int status = 0;
	pid_t done;

	while ((done = waitpid(rig->keeper, &status, WNOHANG)) == 0 && rig_now_ms() < limit_ms)
		usleep(LOOK_EACH_US);
	if (done == 0) {
		kill(rig->keeper, SIGKILL);
		waitpid(rig->keeper, &status, 0);
	}
	if (rig->input >= 0)
		close(rig->input);
	close(rig->output);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int rig_stop(struct keeper_rig *rig, int signal)
{
	kill(rig->keeper, signal);
	return wait_for(rig);
}

int rig_end_input(struct keeper_rig *rig)
{
	close(rig->input);
	rig->input = -1;
	return wait_for(rig);
}

/* "S 123 …": its state, which is one letter, and its parent; NULL when it is gone. Static. */
static const char *state_of(pid_t pid)
{
	static char stat[512];
	char path[64];
	const char *after;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return NULL;
	stat[0] = 0;
	(void)!fgets(stat, sizeof(stat), file);
	fclose(file);
	after = strrchr(stat, ')');
	return after ? after + 2 : NULL;
}

pid_t rig_parent_of(pid_t pid)
{
	const char *state = state_of(pid);

	return state ? (pid_t)strtol(state + 2, NULL, 10) : -1;
}

bool rig_freeze(pid_t pid)
{
	const int64_t limit_ms = rig_now_ms() + LIMIT_MS;
	const char *state;

	kill(pid, SIGSTOP);
	while ((state = state_of(pid)) && *state != 'T' && rig_now_ms() < limit_ms)
		usleep(LOOK_EACH_US);
	return state && *state == 'T';
}

pid_t rig_child_of(pid_t pid)
{
	char path[64], text[64] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	(void)!fgets(text, sizeof(text), file);
	fclose(file);
	return (pid_t)strtol(text, NULL, 10);
}

bool rig_is_gone(pid_t pid)
{
	const int64_t limit_ms = rig_now_ms() + LIMIT_MS;

	while (kill(pid, 0) == 0 && rig_now_ms() < limit_ms) {
		/* Ours, when the keeper is gone. */
		waitpid(pid, NULL, WNOHANG);
		usleep(LOOK_EACH_US);
	}
	return kill(pid, 0) != 0;
}

static unsigned descriptors_of(pid_t pid)
{
	char path[64];
	unsigned count = 0;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	folder = opendir(path);
	if (!folder)
		return 0;
	for (const struct dirent *entry; (entry = readdir(folder));)
		count += entry->d_name[0] != '.';
	closedir(folder);
	return count;
}

bool rig_comes_to_hold(pid_t pid, unsigned descriptors)
{
	const int64_t limit_ms = rig_now_ms() + LIMIT_MS;

	while (descriptors_of(pid) != descriptors && rig_now_ms() < limit_ms)
		usleep(LOOK_EACH_US);
	return descriptors_of(pid) == descriptors;
}
