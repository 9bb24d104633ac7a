#include "keeper_children.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* A pid that was not waited for is nobody else's: no stranger can be hit. */
static void signal_child(pid_t pid, int signal)
{
	siginfo_t info;

	if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0)
		kill(pid, signal);
}

void children_signal(int signal)
{
	/* The keeper has one thread, so these are all. */
	FILE *list = fopen("/proc/thread-self/children", "re");
	int pid;

	if (!list)
		return;
	/* NOLINTNEXTLINE(cert-err34-c): the kernel writes pids and nothing else. */
	while (fscanf(list, "%d", &pid) == 1)
		signal_child(pid, signal);
	fclose(list);
}

const char *children_how(int status)
{
	static char text[32];

	if (WIFSIGNALED(status)) {
		const char *name = sigabbrev_np(WTERMSIG(status));

		if (name)
			snprintf(text, sizeof(text), "SIG%s", name);
		else
			snprintf(text, sizeof(text), "signal %d", WTERMSIG(status));
	} else {
		snprintf(text, sizeof(text), "exit code %d", WEXITSTATUS(status));
	}
	return text;
}
