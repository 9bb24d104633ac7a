#include "keeper.h"
#include "keeper_children.h"
#include "keeper_log.h"
#include "keeper_notify.h"
#include "keeper_time.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* Waits before a restart, and how long a command must have run to be forgiven. */
#define FIRST_WAIT_MS     250
#define LONGEST_WAIT_MS   16000
#define FORGIVEN_AFTER_MS 2000
/* From being asked to stop until what is left is killed. */
#define STOP_LIMIT_MS     8000
/* Between looks at what was killed: its own children become ours, one generation a time. */
#define KILL_AGAIN_MS     20
/* For the kernel to end what was killed; what hangs in the kernel must not hold us up. */
#define KILLED_LIMIT_MS   1000

static int64_t now(void)
{
	return keeper_now_ms(CLOCK_MONOTONIC);
}

static void command_ended(struct keeper *keeper, const char *how)
{
	const int64_t ran_ms = now() - keeper->started_ms;
	const int64_t wait_ms = ran_ms >= FORGIVEN_AFTER_MS ? FIRST_WAIT_MS : keeper->backoff_ms;

	keeper->pid = 0;
	if (keeper->command_stdin >= 0)
		close(keeper->command_stdin);
	keeper->command_stdin = -1;
	if (keeper->is_stopping)
		return;
	keeper->backoff_ms = wait_ms * 2 < LONGEST_WAIT_MS ? wait_ms * 2 : LONGEST_WAIT_MS;
	keeper->restart_ms = now() + wait_ms;
	keeper_log("warn",
		   "\"msg\":\"%s ended, it is started again\",\"how\":\"%s\",\"ranMs\":%" PRId64
		   ",\"waitMs\":%" PRId64 ",\"descriptors\":%u",
		   keeper->command.name, how, ran_ms, wait_ms, keeper->store.count);
}

static void start(struct keeper *keeper)
{
	const pid_t pid = command_start(&keeper->command, &keeper->store, &keeper->command_stdin);

	keeper->restart_ms = 0;
	keeper->started_ms = now();
	keeper->config_written = 0;
	if (pid > 0)
		keeper->pid = pid;
	else
		command_ended(keeper, strerror(-pid));
}

static void begin_stop(struct keeper *keeper, int signal)
{
	if (!keeper->is_stopping)
		keeper->stop_limit_ms = now() + STOP_LIMIT_MS;
	keeper->is_stopping = true;
	keeper->restart_ms = 0;
	if (keeper->pid)
		kill(keeper->pid, signal);
}

static void reap(struct keeper *keeper)
{
	siginfo_t info = { 0 };
	int status;

	/* A look first: what the command said last is its own only until it was waited for. */
	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid) {
		const pid_t pid = info.si_pid;

		info.si_pid = 0;
		if (pid == keeper->pid)
			notify_drain(keeper->notify, pid, &keeper->store);
		if (waitpid(pid, &status, WNOHANG) == pid && pid == keeper->pid)
			command_ended(keeper, children_how(status));
	}
}

static void take_signals(struct keeper *keeper)
{
	struct signalfd_siginfo info;

	while (read(keeper->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			continue;
		begin_stop(keeper, (int)info.ssi_signo);
		/* The second one is somebody in a hurry. */
		if (++keeper->stop_signals > 1)
			keeper->stop_limit_ms = now();
	}
	reap(keeper);
}

static void write_config(struct keeper *keeper)
{
	const struct config_line *config = &keeper->config;
	const ssize_t bytes = write(keeper->command_stdin, config->text + keeper->config_written,
				    config->bytes - keeper->config_written);

	if (bytes >= 0)
		keeper->config_written += (size_t)bytes;
	else if (errno != EAGAIN && errno != EINTR)
		/* Nobody reads: its end is heard of elsewhere. */
		keeper->config_written = config->bytes;
}

static bool has_to_write(const struct keeper *keeper)
{
	return keeper->command_stdin >= 0 && keeper->config.is_complete &&
	       keeper->config_written < keeper->config.bytes;
}

static void read_input(struct keeper *keeper)
{
	switch (config_read(&keeper->config, keeper->input)) {
	case CONFIG_TOO_LONG:
		keeper_log("fatal", "\"msg\":\"the configuration is longer than %u bytes\"",
			   CONFIG_MAX_BYTES);
		keeper->exit_code = 1;
		keeper->input = -1;
		begin_stop(keeper, SIGTERM);
		break;
	case CONFIG_END:
		keeper_log("info", "\"msg\":\"stopping\",\"reason\":\"the parent is gone\"");
		keeper->input = -1;
		begin_stop(keeper, SIGTERM);
		break;
	case CONFIG_COMPLETE:
	case CONFIG_NOTHING:
		break;
	}
}

static bool has_children(void)
{
	siginfo_t info;

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* True when nothing is left, or nothing that can be waited for. */
static bool has_stopped(struct keeper *keeper)
{
	if (!has_children())
		return true;
	if (!keeper->pid && !keeper->is_ending) {
		/* What the command left behind has nobody else to tell it. */
		keeper->is_ending = true;
		children_signal(SIGTERM);
	}
	if (now() < keeper->stop_limit_ms)
		return false;
	if (now() >= keeper->stop_limit_ms + KILLED_LIMIT_MS)
		return true;
	children_signal(SIGKILL);
	return false;
}

static int timeout_of(const struct keeper *keeper)
{
	const int64_t limit_ms = keeper->is_stopping ? keeper->stop_limit_ms : keeper->restart_ms;

	if (!limit_ms)
		return -1;
	if (limit_ms > now())
		return (int)(limit_ms - now());
	return keeper->is_stopping ? KILL_AGAIN_MS : 0;
}

static void wait_and_act(struct keeper *keeper)
{
	struct pollfd events[] = {
		{ .fd = keeper->signals, .events = POLLIN },
		{ .fd = keeper->notify, .events = POLLIN },
		{ .fd = keeper->input, .events = POLLIN },
		{ .fd = has_to_write(keeper) ? keeper->command_stdin : -1, .events = POLLOUT },
	};

	if (poll(events, sizeof(events) / sizeof(events[0]), timeout_of(keeper)) <= 0)
		return;
	if (events[3].revents)
		write_config(keeper);
	if (events[1].revents)
		notify_drain(keeper->notify, keeper->pid, &keeper->store);
	if (events[2].revents)
		read_input(keeper);
	if (events[0].revents)
		take_signals(keeper);
}

int keeper_run(struct keeper *keeper)
{
	keeper->backoff_ms = FIRST_WAIT_MS;
	keeper->command_stdin = -1;
	start(keeper);
	while (!keeper->is_stopping || !has_stopped(keeper)) {
		wait_and_act(keeper);
		if (keeper->restart_ms && now() >= keeper->restart_ms)
			start(keeper);
	}
	return keeper->exit_code;
}
