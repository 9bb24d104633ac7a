/*
 * sluice-keeper [--name NAME] [--lock FILE] [--keep FD=NAME]… -- COMMAND ARGUMENTS…
 *
 * Keeps one command running, and what the command must not lose: the first line of standard
 * input, which it gets at each start, and the descriptors that it stores (docs/adr/0070).
 * With a lock, no two keepers' commands run at once; they get it as a descriptor named "lock".
 * What is to outlive this process as well, whoever started it keeps, and gives it to each
 * keeper: those descriptors are in the store from the start.
 */
#include "keeper.h"
#include "keeper_lock.h"
#include "keeper_log.h"
#include "keeper_notify.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_USAGE     2
/* Somebody else holds the lock, whom this process may not see (EX_TEMPFAIL). */
#define EXIT_LOCKED    75
/* Whoever starts it again with these limits gets the same (EX_CONFIG). */
#define EXIT_LIMITED   78
#define NAME_MAX_BYTES 63
#define USAGE                                                                   \
	"usage: sluice-keeper [--name NAME] [--lock FILE] [--keep FD=NAME]… " \
	"-- COMMAND ARGUMENTS…\n"

/* As names of services are: it stands in log lines as it is. */
static bool is_name(const char *name)
{
	const size_t bytes = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return bytes > 0 && bytes <= NAME_MAX_BYTES && !name[bytes];
}

/* What the command line says, beside the command. */
struct options {
	const char *lock;  /* NULL: none */
	char *const *keep; /* --keep FD=NAME, so many times */
	int keep_count;
};

static bool read_arguments(int argc, char *argv[], struct command *command, struct options *options)
{
	int at = 1;

	command->name = "command";
	if (at + 1 < argc && strcmp(argv[at], "--name") == 0) {
		command->name = argv[at + 1];
		at += 2;
	}
	if (at + 1 < argc && strcmp(argv[at], "--lock") == 0) {
		options->lock = argv[at + 1];
		at += 2;
	}
	options->keep = argv + at;
	while (at + 1 < argc && strcmp(argv[at], "--keep") == 0) {
		options->keep_count++;
		at += 2;
	}
	if (at + 1 >= argc || strcmp(argv[at], "--") != 0 || !is_name(command->name))
		return false;
	command->argv = argv + at + 1;
	return true;
}

/* What is opened later must not become a standard stream. */
static int open_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int open_signals(sigset_t *before)
{
	sigset_t ours;
	int fd;

	sigemptyset(&ours);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGCHLD);
	/* One that whoever started us ignores would never arrive. */
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &ours, before))
		return -errno;
	fd = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static bool is_pipe(int fd)
{
	struct stat about;

	return fstat(fd, &about) == 0 && (S_ISFIFO(about.st_mode) || S_ISSOCK(about.st_mode));
}

static int prepare(struct keeper *keeper)
{
	static char notify_name[NOTIFY_NAME_BYTES];
	int error = open_standard_streams();

	if (error)
		return error;
	/* Orphans of the command come to us, not to init: its workers outlive it. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		return -errno;
	/* These were about us. */
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	unsetenv("LISTEN_PID");
	store_init(&keeper->store);
	keeper->command.has_pipe = is_pipe(STDIN_FILENO);
	keeper->input = keeper->command.has_pipe ? STDIN_FILENO : -1;
	keeper->command.notify_name = notify_name;
	keeper->signals = open_signals(&keeper->command.signal_mask);
	if (keeper->signals < 0)
		return keeper->signals;
	keeper->notify = notify_open(notify_name);
	return keeper->notify < 0 ? keeper->notify : config_init(&keeper->config);
}

/* In the store, so that the command has it too, and whoever that hands it on to. */
static int hold_lock(struct keeper *keeper, const char *path)
{
	const int fd = lock_take(path, keeper->signals, keeper->input);

	return fd < 0 ? fd : store_add(&keeper->store, "lock", fd);
}

/* FD=NAME: a descriptor that this process was started with. */
static int keep_given(struct fd_store *store, const char *text)
{
	char *end;
	const long fd = strtol(text, &end, 10);

	if (end == text || *end != '=' || !store_is_name(end + 1) || fd <= STDERR_FILENO ||
	    fd > INT_MAX)
		return -EINVAL;
	if (fcntl((int)fd, F_SETFD, FD_CLOEXEC))
		return -errno;
	return store_add(store, end + 1, (int)fd);
}

static int keep_all_given(struct keeper *keeper, const struct options *options)
{
	for (int i = 0; i < options->keep_count; i++) {
		const int error = keep_given(&keeper->store, options->keep[2 * i + 1]);

		if (error)
			return error;
	}
	return 0;
}

static int tell_why(int error)
{
	char why[128];

	snprintf(why, sizeof(why), "%s", strerror(-error));
	if (error == -ETIMEDOUT)
		snprintf(why, sizeof(why), "somebody holds its lock");
	else if (error == -EMFILE)
		snprintf(why, sizeof(why),
			 "the limit of open files is too low: raise it (ulimit -n) to %u",
			 STORE_FDS_LIMIT);
	keeper_log("fatal", "\"msg\":\"the keeper cannot start\",\"error\":\"%s\"", why);
	if (error == -ETIMEDOUT)
		return EXIT_LOCKED;
	return error == -EMFILE ? EXIT_LIMITED : 1;
}

int main(int argc, char *argv[])
{
	static struct keeper keeper;
	struct options options = { 0 };
	int error;

	if (!read_arguments(argc, argv, &keeper.command, &options)) {
		fputs(USAGE, stderr);
		return EXIT_USAGE;
	}
	error = prepare(&keeper);
	if (!error && options.lock)
		error = hold_lock(&keeper, options.lock);
	if (!error)
		error = keep_all_given(&keeper, &options);
	if (error == -EINTR)
		return 0;
	return error ? tell_why(error) : keeper_run(&keeper);
}
