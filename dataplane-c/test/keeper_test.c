/* The keeper, with this program as its command: what it keeps, and what it lets nobody else do. */
#include "expect.h"
#include "keeper_rig.h"
#include "keeper_roles.h"
#include "sluice.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Standard streams, signals, notifications, and the input of a command that runs. */
#define KEEPERS_OWN   6
/* From being told to stop until what is left is killed. */
#define STOP_LIMIT_MS 8000

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
	/* From before its start: what is read late can only look longer. */
	const int64_t start_ms = rig_now_ms();
	struct keeper_rig rig = rig_start("crash");
	int64_t waited_ms = 0;

	EXPECT_TEXT(rig_line(&rig), "config={\"secret\":1} names= texts= count=0");
	for (int64_t wait_ms = 250; wait_ms <= 1000; wait_ms *= 2) {
		EXPECT_TEXT(rig_line(&rig), "config={\"secret\":1} names=precious texts=1 count=1");
		/* The keeper counts in whole milliseconds. */
		waited_ms += wait_ms - 1;
		EXPECT(rig_now_ms() - start_ms >= waited_ms);
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
	/* 0, where there was no such line, is whoever runs this. */
	if (orphan > 0)
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
	int64_t told_ms;

	(void)rig_line(&rig);
	EXPECT_TEXT(rig_line(&rig), "deaf");
	told_ms = rig_now_ms();
	kill(rig.keeper, SIGTERM);
	EXPECT_EQUAL(rig_stop(&rig, SIGINT), 0);
	EXPECT(rig_now_ms() - told_ms < STOP_LIMIT_MS);
}

static void a_deaf_command_is_killed_in_the_end(void)
{
	struct keeper_rig rig = rig_start("deaf");
	const int64_t before_ms = rig_now_ms();

	(void)rig_line(&rig);
	EXPECT_TEXT(rig_line(&rig), "deaf");
	EXPECT_EQUAL(rig_stop(&rig, SIGTERM), 0);
	EXPECT(rig_now_ms() - before_ms >= STOP_LIMIT_MS);
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
	role_store_text("x", "FDSTORE=1\nFDNAME=stranger");
	EXPECT_EQUAL(sluice_notify_send("FDSTOREREMOVE=1\nFDNAME=mine", 27, NULL, 0), 1);
	unsetenv("NOTIFY_SOCKET");
	kill(rig_child_of(rig.keeper), SIGKILL);
	EXPECT_TEXT(rig_line(&rig), "config={\"secret\":1} names=mine texts=1 count=1");
	EXPECT(rig_comes_to_hold(rig.keeper, KEEPERS_OWN + 1));
	EXPECT_EQUAL(rig_stop(&rig, SIGTERM), 0);
}

static void bad_messages_change_nothing_and_leave_nothing_open(void)
{
	struct keeper_rig rig = rig_start("misbehave");
	(void)rig_line(&rig);
	EXPECT_TEXT(rig_line(&rig), "config={\"secret\":1} names=good texts=g count=1");
	EXPECT(rig_comes_to_hold(rig.keeper, KEEPERS_OWN + 1));
	EXPECT_EQUAL(rig_stop(&rig, SIGTERM), 0);
}

static void a_message_is_stored_whole_or_not_at_all(void)
{
	struct keeper_rig rig = rig_start("overflow");

	(void)rig_line(&rig);
	EXPECT_TEXT(rig_line(&rig), "config={\"secret\":1} names=good texts=g count=1");
	EXPECT(rig_comes_to_hold(rig.keeper, KEEPERS_OWN + 1));
	EXPECT_EQUAL(rig_stop(&rig, SIGTERM), 0);
}

static void a_barrier_is_answered_when_what_came_before_is_done(void)
{
	struct keeper_rig rig = rig_start("ask");

	(void)rig_line(&rig);
	EXPECT_TEXT(rig_line(&rig), "stored answered=1");
	EXPECT_TEXT(rig_line(&rig), "removed frozen=1 early=0 answered=1");
	EXPECT_EQUAL(rig_stop(&rig, SIGTERM), 0);
}

static void who_asks_does_not_wait_for_a_keeper_that_does_not_read(void)
{
	struct keeper_rig rig = rig_start("ask-in-vain");

	(void)rig_line(&rig);
	EXPECT_TEXT(rig_line(&rig), strerror(EAGAIN));
	EXPECT_EQUAL(rig_stop(&rig, SIGTERM), 0);
}

static void a_barrier_is_refused(const char *role, const char *why)
{
	const int errors = memfd_create("errors", MFD_CLOEXEC);
	struct keeper_rig rig = rig_start_heard(role, errors);
	char heard[1024] = "";

	(void)rig_line(&rig);
	EXPECT_TEXT(rig_line(&rig), "config={\"secret\":1} names= texts= count=0");
	EXPECT(rig_comes_to_hold(rig.keeper, KEEPERS_OWN));
	EXPECT_EQUAL(rig_stop(&rig, SIGTERM), 0);
	EXPECT(pread(errors, heard, sizeof(heard) - 1, 0) > 0);
	EXPECT(strstr(heard, why));
	close(errors);
}

static void barriers_are_alone_with_one_descriptor(void)
{
	a_barrier_is_refused("ask-without", "BARRIER needs one descriptor");
	a_barrier_is_refused("ask-with-two", "BARRIER needs one descriptor");
	a_barrier_is_refused("ask-and-store", "BARRIER does not come alone");
}

static void without_room_for_its_lock_it_is_not_worth_another_start(void)
{
	char lock[] = "/tmp/sluice-keeper-lock-XXXXXX";
	struct keeper_rig rig;

	close(mkstemp(lock));
	rig = rig_start_limited("idle", lock);
	EXPECT_EQUAL(rig_end_input(&rig), 78);
	unlink(lock);
}

int main(int argc, char *argv[])
{
	if (argc == 3 && strcmp(argv[1], "command") == 0)
		role_play(argv[2]);
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
	a_barrier_is_answered_when_what_came_before_is_done();
	who_asks_does_not_wait_for_a_keeper_that_does_not_read();
	barriers_are_alone_with_one_descriptor();
	without_room_for_its_lock_it_is_not_worth_another_start();
	return failures != 0;
}
