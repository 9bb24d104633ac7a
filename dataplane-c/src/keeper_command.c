#include "keeper_command.h"
#include "keeper_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define EXIT_NOT_STARTED 127

/* LISTEN_* as in sd_listen_fds(3), which are absent when there is nothing. */
static int set_environment(const struct command *command, const struct fd_store *store)
{
	static char names[STORE_NAMES_BYTES];
	char number[16];

	if (setenv("NOTIFY_SOCKET", command->notify_name, 1))
		return -errno;
	if (!store->count)
		return 0;
	store_join_names(store, names);
	if (setenv("LISTEN_FDNAMES", names, 1))
		return -errno;
	snprintf(number, sizeof(number), "%u", store->count);
	if (setenv("LISTEN_FDS", number, 1))
		return -errno;
	snprintf(number, sizeof(number), "%d", (int)getpid());
	return setenv("LISTEN_PID", number, 1) ? -errno : 0;
}

static noreturn void become(const struct command *command, struct fd_store *store, int stdin_fd,
			    pid_t keeper)
{
	int error;

	/* Whatever becomes of the keeper, the kernel ends the command. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != keeper)
		_exit(EXIT_NOT_STARTED);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &command->signal_mask, NULL);
	error = stdin_fd >= 0 && dup2(stdin_fd, STDIN_FILENO) < 0 ? -errno : 0;
	if (!error)
		error = set_environment(command, store);
	if (!error)
		error = store_place(store);
	if (!error) {
		execvp(command->argv[0], command->argv);
		error = -errno;
	}
	keeper_log("error", "\"msg\":\"%s cannot be started\",\"error\":\"%s\"", command->name,
		   strerror(-error));
	_exit(EXIT_NOT_STARTED);
}

pid_t command_start(const struct command *command, struct fd_store *store, int *stdin_fd)
{
	const pid_t keeper = getpid();
	int ends[2] = { -1, -1 };
	pid_t pid;

	*stdin_fd = -1;
	if (command->has_pipe && pipe2(ends, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid == 0)
		become(command, store, ends[0], keeper);
	if (pid < 0)
		pid = -errno;
	if (command->has_pipe) {
		close(ends[0]);
		if (pid < 0) {
			close(ends[1]);
		} else {
			/* This end only: the command's reads may wait. */
			(void)fcntl(ends[1], F_SETFL, O_NONBLOCK);
			*stdin_fd = ends[1];
		}
	}
	return pid;
}
