/* A keeper whose command is this test program again: `PROGRAM command ROLE`. */
#ifndef SLUICE_TEST_KEEPER_RIG_H
#define SLUICE_TEST_KEEPER_RIG_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

struct keeper_rig {
	pid_t keeper;
	int input;  /* its standard input */
	int output; /* what its command says */
};

#define EXPECT_TEXT(actual, expected)                                                     \
	do {                                                                              \
		const char *actual_ = (actual);                                           \
		if (strcmp(actual_, (expected)) != 0) {                                   \
			fprintf(stderr, "%s:%d: %s: it says %s, expected %s\n", __FILE__, \
				__LINE__, __func__, actual_, (expected));                 \
			failures++;                                                       \
		}                                                                         \
	} while (0)

/* The keeper that was built beside the tests, told one line of configuration. */
struct keeper_rig rig_start(const char *role);
/* Where kcmp(2) is forbidden, as in a container. */
struct keeper_rig rig_start_without_kcmp(const char *role);
/* With a lock on that file. */
struct keeper_rig rig_start_locked(const char *role, const char *lock);
/* The same under a hard limit of 128 descriptors. */
struct keeper_rig rig_start_limited(const char *role, const char *lock);
/* With two descriptors of the test's, named "given/0" and "given/1". */
struct keeper_rig rig_start_given(const char *role, int first, int second);
/* With standard error there. */
struct keeper_rig rig_start_heard(const char *role, int errors);
/* The next line of the command; "" when none comes in 15 s. Static. */
const char *rig_line(const struct keeper_rig *rig);
/* Sends the signal and waits, up to 15 s. The exit code, or -signal. */
int rig_stop(struct keeper_rig *rig, int signal);
/* Ends its standard input and waits. */
int rig_end_input(struct keeper_rig *rig);

/* For the command: true from its second run under one keeper on. */
bool rig_has_run(const char *role);

int64_t rig_now_ms(void);
pid_t rig_parent_of(pid_t pid);
/* Stops it, and waits up to 15 s until it is. */
bool rig_freeze(pid_t pid);
/* The first child of a process; 0 when there is none. */
pid_t rig_child_of(pid_t pid);
/* True when it is no process and no zombie any more, within 15 s. */
bool rig_is_gone(pid_t pid);
/* True when the process holds so many descriptors, within 15 s: what came to it last it may still have to close. */
bool rig_comes_to_hold(pid_t pid, unsigned descriptors);

#endif
