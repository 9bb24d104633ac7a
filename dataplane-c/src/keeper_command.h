/* One run of the command. */
#ifndef SLUICE_KEEPER_COMMAND_H
#define SLUICE_KEEPER_COMMAND_H

#include "keeper_store.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

struct command {
	const char *name;
	char *const *argv;
	const char *notify_name;
	sigset_t signal_mask; /* what the keeper itself was started with */
	bool has_pipe;        /* false: it gets the keeper's own standard input */
};

/*
 * Starts it with the stored descriptors. `*stdin_fd` gets the keeper's end of its standard
 * input, non-blocking, or -1. Its pid, or -errno.
 */
pid_t command_start(const struct command *command, struct fd_store *store, int *stdin_fd);

#endif
