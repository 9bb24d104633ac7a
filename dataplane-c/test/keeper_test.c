/* The keeper, with this program as its command: what it keeps, and what it lets nobody else do. */
#include "expect.h"
#include "keeper_rig.h"
#include "sluice.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the command --------------------------------------------------------- */

static void store_text(const char *text, const char *assignments)
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
	store_text("1", "FDSTORE=1\nFDNAME=alpha");
	store_text("2", "FDSTORE=1\nFDNAME=beta");
	store_text("3", "FDSTORE=1\nFDNAME=gamma\nREADY=1");
	store_text("4", "FDNAME=alpha\nFDSTORE=1");
	store_text("5", "STATUS=nothing to store");
	store_text("6", "FDSTORE=1");
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
		store_text("1", "FDSTORE=1\nFDNAME=precious");
	_exit(3);
}

static void do_orphan(bool is_first)
{
	if (!is_first)
		return;
	if (fork() == 0) {
		dprintf(STDOUT_FILENO, "orphan %d\n", (int)getpid());
		for (;;)
			pause();
	}
	kill(getpid(), SIGKILL);
}

/* A worker that was taken over speaks in the command's place. */
static void do_intrude(bool is_first)
{
	pid_t child;

	if (!is_first)
		return;
	store_text("1", "FDSTORE=1\nFDNAME=mine");
	dprintf(STDOUT_FILENO, "%s\n", getenv("NOTIFY_SOCKET"));
	child = fork();
	if (child == 0) {
		store_text("x", "FDSTORE=1\nFDNAME=intruder");
		(void)sluice_notify_send("FDSTOREREMOVE=1\nFDNAME=mine", 27, NULL, 0);
		_exit(0);
	}
	waitpid(child, NULL, 0);
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
	store_text("g", "FDSTORE=1\nFDNAME=good");
	store_text("x", "FDSTORE=1\nFDNAME=a:b");
	store_text("x", "FDSTORE=1\nFDNAME=a b");
	store_text("x", "FDSTORE=1\nFDNAME=");
	memset(name + 17, 'n', 256);
	store_text("x", name);
	store_text("x", "FDSTOREREMOVE=1");
	store_text("x", "=\n==\n\n\nFDSTORE=10");
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
	store_text("g", "FDSTORE=1\nFDNAME=good");
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
	{ "store", do_store },         { "store-again", do_store_again },
	{ "crash", do_crash },         { "orphan", do_orphan },
	{ "intrude", do_intrude },     { "misbehave", do_misbehave },
	{ "deaf", do_ignore_signals }, { "idle", do_nothing },
	{ "overflow", do_overflow },
};

static void be_command(const char *role)
{
	const bool is_first = !rig_has_run(role);

	report_start();
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (strcmp(roles[i].name, role) == 0)
			roles[i].act(is_first);
	for (;;)
		pause();
}

/* Standard streams, signals, notifications, and the input of a command that runs. */
#define KEEPERS_OWN 6

/* ---- the tests ------------------------------------------------------------- */

static void descriptors_survive_a_kill_with_names_and_order(void)
{
	struct keeper_rig rig = rig_start("store");

	EXPECT_TEXT(rig_line(&rig), "config={\"secret\":1} names= texts= count=0");
	EXPECT_TEXT(rig_line(&rig), "config={\"secret\":1} names=alpha:gamma:alpha:stored "
				    "texts=1346 count=4");
	EXPECT_EQUAL(rig_stop(&rig, SIGTERM), 0);
}

static void a_descriptor_that_is_stored_is_not_stored_twice(void)
{
	struct keeper_rig rig = rig_start_without_kcmp("store-again");

	EXPECT_TEXT(rig_line(&rig), "config={\"secret\":1} names= texts= count=0");
	for (int run = 0; run < 3; run++)
		EXPECT_TEXT(rig_line(&rig), "config={\"secret\":1} names=alpha:alpha:alpha "
					    "texts=11 count=3");
	EXPECT_EQUAL(rig_stop(&rig, SIGTERM), 0);
}

static void a_crash_loop_waits_longer_each_time_and_loses_nothing(void)
{
	struct keeper_rig rig = rig_start("crash");
	int64_t before_ms, gap_ms;

	EXPECT_TEXT(rig_line(&rig), "config={\"secret\":1} names= texts= count=0");
	before_ms = rig_now_ms();
	for (int64_t wait_ms = 250; wait_ms <= 1000; wait_ms *= 2) {
		EXPECT_TEXT(rig_line(&rig), "config={\"secret\":1} names=precious texts=1 count=1");
		gap_ms = rig_now_ms() - before_ms;
		before_ms += gap_ms;
		EXPECT(gap_ms >= wait_ms - 20);
	}
	EXPECT_EQUAL(rig_stop(&rig, SIGINT), 0);
}

static void orphans_are_adopted_reaped_and_ended(void)
{
	struct keeper_rig rig = rig_start("orphan");
	pid_t orphan;

	(void)rig_line(&rig);
	orphan = (pid_t)strtol(rig_line(&rig) + strlen("orphan "), NULL, 10);
	(void)rig_line(&rig);
	EXPECT_EQUAL(rig_parent_of(orphan), rig.keeper);
	kill(orphan, SIGKILL);
	EXPECT(rig_is_gone(orphan));
	EXPECT_EQUAL(rig_stop(&rig, SIGTERM), 0);

	rig = rig_start("orphan");
	(void)rig_line(&rig);
	orphan = (pid_t)strtol(rig_line(&rig) + strlen("orphan "), NULL, 10);
	EXPECT_EQUAL(rig_stop(&rig, SIGTERM), 0);
	EXPECT(rig_is_gone(orphan));
}

static void a_second_signal_does_not_wait_for_a_deaf_command(void)
{
	struct keeper_rig rig = rig_start("deaf");
	const int64_t before_ms = rig_now_ms();

	(void)rig_line(&rig);
	EXPECT_TEXT(rig_line(&rig), "deaf");
	kill(rig.keeper, SIGTERM);
	EXPECT_EQUAL(rig_stop(&rig, SIGINT), 0);
	EXPECT(rig_now_ms() - before_ms < 5000);
}

static void a_deaf_command_is_killed_in_the_end(void)
{
	struct keeper_rig rig = rig_start("deaf");
	const int64_t before_ms = rig_now_ms();

	(void)rig_line(&rig);
	EXPECT_TEXT(rig_line(&rig), "deaf");
	EXPECT_EQUAL(rig_stop(&rig, SIGTERM), 0);
	EXPECT(rig_now_ms() - before_ms >= 8000);
}

static void the_end_of_standard_input_ends_everything(void)
{
	struct keeper_rig rig = rig_start("idle");

	(void)rig_line(&rig);
	EXPECT_EQUAL(rig_end_input(&rig), 0);
}

static void a_killed_keeper_takes_the_command_along(void)
{
	struct keeper_rig rig = rig_start("idle");
	pid_t command;

	(void)rig_line(&rig);
	command = rig_child_of(rig.keeper);
	EXPECT(command > 0);
	EXPECT_EQUAL(rig_stop(&rig, SIGKILL), -SIGKILL);
	EXPECT(rig_is_gone(command));
}

/* Its command is deaf: it does not end with the first keeper, so the second one ends it. */
static void a_second_keeper_begins_when_nothing_of_the_first_is_left(void)
{
	char lock[] = "/tmp/sluice-keeper-lock-XXXXXX";
	struct keeper_rig first, second;
	pid_t deaf;

	close(mkstemp(lock));
	first = rig_start_locked("deaf", lock);
	EXPECT_TEXT(rig_line(&first), "config={\"secret\":1} names=lock texts= count=1");
	EXPECT_TEXT(rig_line(&first), "deaf");
	deaf = rig_child_of(first.keeper);
	EXPECT_EQUAL(rig_stop(&first, SIGKILL), -SIGKILL);
	second = rig_start_locked("idle", lock);
	EXPECT_TEXT(rig_line(&second), "config={\"secret\":1} names=lock texts= count=1");
	EXPECT(rig_is_gone(deaf));
	EXPECT_EQUAL(rig_stop(&second, SIGTERM), 0);

	/* Who waits can be told to stop. */
	first = rig_start_locked("idle", lock);
	(void)rig_line(&first);
	second = rig_start_locked("idle", lock);
	EXPECT_EQUAL(rig_end_input(&second), 0);
	EXPECT_EQUAL(rig_stop(&first, SIGTERM), 0);
	unlink(lock);
}

/* What they hold outlives each keeper, however it ends. */
static void what_its_starter_keeps_is_there_for_each_keeper(void)
{
	int given[2];
	struct keeper_rig rig;

	for (int i = 0; i < 2; i++) {
		given[i] = memfd_create("given", 0);
		EXPECT_EQUAL(pwrite(given[i], i ? "b" : "a", 1, 0), 1);
	}
	for (int keeper = 0; keeper < 2; keeper++) {
		rig = rig_start_given("crash", given[0], given[1]);
		EXPECT_TEXT(rig_line(&rig),
			    "config={\"secret\":1} names=given/0:given/1 texts=ab count=2");
		EXPECT_TEXT(
			rig_line(&rig),
			"config={\"secret\":1} names=given/0:given/1:precious texts=ab1 count=3");
		EXPECT_EQUAL(rig_stop(&rig, keeper ? SIGTERM : SIGKILL), keeper ? 0 : -SIGKILL);
	}
	/* One that is not there. */
	rig = rig_start_given("idle", given[0], 1000);
	EXPECT_TEXT(rig_line(&rig), "");
	EXPECT_EQUAL(rig_stop(&rig, 0), 1);
	close(given[0]);
	close(given[1]);
}

static void only_the_command_is_heard(void)
{
	struct keeper_rig rig = rig_start("intrude");
	(void)rig_line(&rig);
	EXPECT_EQUAL(setenv("NOTIFY_SOCKET", rig_line(&rig), 1), 0);
	store_text("x", "FDSTORE=1\nFDNAME=stranger");
	EXPECT_EQUAL(sluice_notify_send("FDSTOREREMOVE=1\nFDNAME=mine", 27, NULL, 0), 1);
	unsetenv("NOTIFY_SOCKET");
	kill(rig_child_of(rig.keeper), SIGKILL);
	EXPECT_TEXT(rig_line(&rig), "config={\"secret\":1} names=mine texts=1 count=1");
	EXPECT_EQUAL(rig_descriptors(rig.keeper), KEEPERS_OWN + 1);
	EXPECT_EQUAL(rig_stop(&rig, SIGTERM), 0);
}

static void bad_messages_change_nothing_and_leave_nothing_open(void)
{
	struct keeper_rig rig = rig_start("misbehave");
	(void)rig_line(&rig);
	EXPECT_TEXT(rig_line(&rig), "config={\"secret\":1} names=good texts=g count=1");
	EXPECT_EQUAL(rig_descriptors(rig.keeper), KEEPERS_OWN + 1);
	EXPECT_EQUAL(rig_stop(&rig, SIGTERM), 0);
}

static void a_message_is_stored_whole_or_not_at_all(void)
{
	struct keeper_rig rig = rig_start("overflow");

	(void)rig_line(&rig);
	EXPECT_TEXT(rig_line(&rig), "config={\"secret\":1} names=good texts=g count=1");
	EXPECT_EQUAL(rig_descriptors(rig.keeper), KEEPERS_OWN + 1);
	EXPECT_EQUAL(rig_stop(&rig, SIGTERM), 0);
}

int main(int argc, char *argv[])
{
	if (argc == 3 && strcmp(argv[1], "command") == 0)
		be_command(argv[2]);
	/* What escaped the keeper would come to us, and be seen. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	/* And what whoever started us left open would be counted. */
	EXPECT_EQUAL(syscall(SYS_close_range, 3, UINT_MAX, 0), 0);
	descriptors_survive_a_kill_with_names_and_order();
	a_descriptor_that_is_stored_is_not_stored_twice();
	a_crash_loop_waits_longer_each_time_and_loses_nothing();
	orphans_are_adopted_reaped_and_ended();
	a_second_signal_does_not_wait_for_a_deaf_command();
	a_deaf_command_is_killed_in_the_end();
	the_end_of_standard_input_ends_everything();
	a_killed_keeper_takes_the_command_along();
	a_second_keeper_begins_when_nothing_of_the_first_is_left();
	what_its_starter_keeps_is_there_for_each_keeper();
	only_the_command_is_heard();
	bad_messages_change_nothing_and_leave_nothing_open();
	a_message_is_stored_whole_or_not_at_all();
	return failures != 0;
}
