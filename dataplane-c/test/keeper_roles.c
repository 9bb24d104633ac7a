#include "keeper_roles.h"
#include "expect.h"
#include "keeper_rig.h"
#include "sluice.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

void role_store_text(const char *text, const char *assignments)
{
	const int fd = memfd_create("stored", MFD_CLOEXEC);

	(void)!pwrite(fd, text, strlen(text), 0);
	(void)sluice_notify_send(assignments, (uint32_t)strlen(assignments), &fd, 1);
	close(fd);
}

/* One line: what this run was started with. */
static void report_start(void)
{
	const char *names = getenv("LISTEN_FDNAMES");
	const int count = sluice_listen_fds();
	char config[128] = "", texts[512] = "";
	size_t at = 0, stored = 0;

	while (at < sizeof(config) - 1 && read(STDIN_FILENO, config + at, 1) == 1 &&
	       config[at] != '\n')
		at++;
	config[at] = 0;
	for (int fd = 3; fd < 3 + count && stored < sizeof(texts) - 1; fd++)
		if (pread(fd, texts + stored, 1, 0) == 1)
			stored++;
	dprintf(STDOUT_FILENO, "config=%s names=%s texts=%s count=%d\n", config, names ? names : "",
		texts, count);
}

static void do_store(bool is_first)
{
	if (!is_first)
		return;
	role_store_text("1", "FDSTORE=1\nFDNAME=alpha");
	role_store_text("2", "FDSTORE=1\nFDNAME=beta");
	role_store_text("3", "FDSTORE=1\nFDNAME=gamma\nREADY=1");
	role_store_text("4", "FDNAME=alpha\nFDSTORE=1");
	role_store_text("5", "STATUS=nothing to store");
	role_store_text("6", "FDSTORE=1");
	(void)sluice_notify_send("FDSTOREREMOVE=1\nFDNAME=beta", 27, NULL, 0);
	kill(getpid(), SIGKILL);
}

/* Everything that it has, and at first a memfd that is open twice, and a process. */
static void do_store_again(bool is_first)
{
	int known[] = { 3, 4, 5 };
	char path[32];

	if (is_first) {
		known[0] = memfd_create("stored", MFD_CLOEXEC);
		(void)!pwrite(known[0], "1", 1, 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", known[0]);
		known[1] = open(path, O_RDONLY | O_CLOEXEC);
		known[2] = (int)syscall(SYS_pidfd_open, getpid(), 0);
	}
	(void)sluice_notify_send("FDSTORE=1\nFDNAME=alpha", 22, known, 3);
	kill(getpid(), SIGKILL);
}

static void do_crash(bool is_first)
{
	if (is_first)
		role_store_text("1", "FDSTORE=1\nFDNAME=precious");
	_exit(3);
}

static void do_orphan(bool is_first)
{
	pid_t orphan;

	if (!is_first)
		return;
	orphan = fork();
	if (orphan == 0)
		for (;;)
			pause();
	/* Not by the orphan: the command that comes after could be faster. */
	dprintf(STDOUT_FILENO, "orphan %d\n", (int)orphan);
	kill(getpid(), SIGKILL);
}

/* A worker that was taken over speaks in the command's place. */
static void do_intrude(bool is_first)
{
	pid_t child;

	if (!is_first)
		return;
	role_store_text("1", "FDSTORE=1\nFDNAME=mine");
	child = fork();
	if (child == 0) {
		role_store_text("x", "FDSTORE=1\nFDNAME=intruder");
		(void)sluice_notify_send("FDSTOREREMOVE=1\nFDNAME=mine", 27, NULL, 0);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	/* The answer to this line is SIGKILL. */
	dprintf(STDOUT_FILENO, "%s\n", getenv("NOTIFY_SOCKET"));
}

static void send_raw(const char *text, size_t bytes)
{
	const char *variable = getenv("NOTIFY_SOCKET");
	const char *name = variable ? variable : "@nowhere";
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	strncpy(address.sun_path + 1, name + 1, sizeof(address.sun_path) - 2);
	EXPECT(sendto(fd, text, bytes, 0, (struct sockaddr *)&address,
		      (socklen_t)(sizeof(sa_family_t) + strlen(name))) == (ssize_t)bytes);
	close(fd);
}

static bool hangs_up(int fd, int limit_ms)
{
	struct pollfd end = { .fd = fd };

	return poll(&end, 1, limit_ms) == 1 && end.revents & POLLHUP;
}

/* A pipe in the store says by its hang-up when the keeper has closed it. */
static void do_ask(bool is_first)
{
	const pid_t keeper = getppid();
	int stored[2];
	int answer;
	bool is_frozen, is_early, is_answered;

	(void)is_first;
	if (pipe2(stored, O_CLOEXEC))
		return;
	(void)sluice_notify_send("FDSTORE=1\nFDNAME=pipe", 21, &stored[1], 1);
	close(stored[1]);
	answer = sluice_notify_barrier();
	is_answered = hangs_up(answer, 15000) && !hangs_up(stored[0], 0);
	dprintf(STDOUT_FILENO, "stored answered=%d\n", is_answered);
	close(answer);

	is_frozen = rig_freeze(keeper);
	(void)sluice_notify_send("FDSTOREREMOVE=1\nFDNAME=pipe", 27, NULL, 0);
	answer = sluice_notify_barrier();
	is_early = hangs_up(answer, 0) || hangs_up(stored[0], 0);
	kill(keeper, SIGCONT);
	is_answered = hangs_up(answer, 15000) && hangs_up(stored[0], 0);
	dprintf(STDOUT_FILENO, "removed frozen=%d early=%d answered=%d\n", is_frozen, is_early,
		is_answered);
}

static void do_ask_in_vain(bool is_first)
{
	int error, asked = 0;

	if (!is_first)
		return;
	EXPECT(rig_freeze(getppid()));
	do
		error = sluice_notify_barrier();
	while (error > 0 && ++asked < 10000);
	kill(getppid(), SIGCONT);
	dprintf(STDOUT_FILENO, "%s\n", strerror(-error));
}

static void do_ask_without_descriptor(bool is_first)
{
	if (!is_first)
		return;
	(void)sluice_notify_send("BARRIER=1", 9, NULL, 0);
	kill(getpid(), SIGKILL);
}

static void do_ask_with_two(bool is_first)
{
	if (!is_first)
		return;
	(void)sluice_notify_send("BARRIER=1", 9, (const int[]){ 0, 1 }, 2);
	kill(getpid(), SIGKILL);
}

static void do_ask_and_store(bool is_first)
{
	if (!is_first)
		return;
	role_store_text("x", "FDSTORE=1\nFDNAME=x\nBARRIER=1");
	kill(getpid(), SIGKILL);
}

static void do_misbehave(bool is_first)
{
	static char filler[8000];
	char name[300] = "FDSTORE=1\nFDNAME=";
	int many[SLUICE_NOTIFY_MAX_FDS];

	if (!is_first)
		return;
	(void)snprintf(filler, sizeof(filler), "FDSTORE=1\nFDNAME=long\n%*s",
		       (int)sizeof(filler) - 64, "");
	send_raw(filler, strlen(filler));
	send_raw("FDSTOREREMOVE=1\nFDNAME=\0good", 28);
	role_store_text("g", "FDSTORE=1\nFDNAME=good");
	role_store_text("x", "FDSTORE=1\nFDNAME=a:b");
	role_store_text("x", "FDSTORE=1\nFDNAME=a b");
	role_store_text("x", "FDSTORE=1\nFDNAME=");
	memset(name + 17, 'n', 256);
	role_store_text("x", name);
	role_store_text("x", "FDSTOREREMOVE=1");
	role_store_text("x", "=\n==\n\n\nFDSTORE=10");
	/* More than the store has room for, over and over; the first batches fill it. */
	for (int round = 0; round < 20; round++) {
		for (unsigned i = 0; i < SLUICE_NOTIFY_MAX_FDS; i++)
			many[i] = memfd_create("many", MFD_CLOEXEC);
		EXPECT_EQUAL(
			sluice_notify_send("FDSTORE=1\nFDNAME=m", 18, many, SLUICE_NOTIFY_MAX_FDS),
			1);
		for (unsigned i = 0; i < SLUICE_NOTIFY_MAX_FDS; i++)
			close(many[i]);
	}
	(void)sluice_notify_send("FDSTOREREMOVE=1\nFDNAME=m", 24, NULL, 0);
	kill(getpid(), SIGKILL);
}

/* The store has room for 4,096 and holds 4,094: three that belong together do not fit. */
static void do_overflow(bool is_first)
{
	int many[SLUICE_NOTIFY_MAX_FDS];

	if (!is_first)
		return;
	role_store_text("g", "FDSTORE=1\nFDNAME=good");
	for (unsigned stored = 1; stored < 4094;) {
		unsigned count = 0;

		while (count < SLUICE_NOTIFY_MAX_FDS && stored + count < 4094)
			many[count++] = memfd_create("many", MFD_CLOEXEC);
		EXPECT_EQUAL(sluice_notify_send("FDSTORE=1\nFDNAME=m", 18, many, count), 1);
		for (unsigned i = 0; i < count; i++)
			close(many[i]);
		stored += count;
	}
	for (unsigned i = 0; i < 3; i++)
		many[i] = memfd_create("three", MFD_CLOEXEC);
	EXPECT_EQUAL(sluice_notify_send("FDSTORE=1\nFDNAME=three", 22, many, 3), 1);
	(void)sluice_notify_send("FDSTOREREMOVE=1\nFDNAME=m", 24, NULL, 0);
	kill(getpid(), SIGKILL);
}

static void do_ignore_signals(bool is_first)
{
	(void)is_first;
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	dprintf(STDOUT_FILENO, "deaf\n");
}

static void do_nothing(bool is_first)
{
	(void)is_first;
}

static const struct {
	const char *name;
	void (*act)(bool is_first);
} roles[] = {
	{ "store", do_store },
	{ "store-again", do_store_again },
	{ "crash", do_crash },
	{ "orphan", do_orphan },
	{ "intrude", do_intrude },
	{ "misbehave", do_misbehave },
	{ "deaf", do_ignore_signals },
	{ "idle", do_nothing },
	{ "overflow", do_overflow },
	{ "ask", do_ask },
	{ "ask-in-vain", do_ask_in_vain },
	{ "ask-without", do_ask_without_descriptor },
	{ "ask-with-two", do_ask_with_two },
	{ "ask-and-store", do_ask_and_store },
};

void role_play(const char *role)
{
	const bool is_first = !rig_has_run(role);

	report_start();
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (strcmp(roles[i].name, role) == 0)
			roles[i].act(is_first);
	for (;;)
		pause();
}
