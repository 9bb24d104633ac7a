/*
 * The keeper: starts one command, starts it again when it dies, and keeps descriptors for
 * it meanwhile. Deadlines are CLOCK_MONOTONIC milliseconds; 0: none.
 */
#ifndef SLUICE_KEEPER_H
#define SLUICE_KEEPER_H

#include "keeper_command.h"
#include "keeper_config.h"
#include "keeper_store.h"

#include <stdint.h>

struct keeper {
	struct command command;
	struct fd_store store;
	struct config_line config;
	int signals; /* signalfd */
	int notify;
	int input; /* standard input as long as it is a pipe and open, or -1 */

	pid_t pid; /* of the command that runs, or 0 */
	int command_stdin;
	size_t config_written;
	int64_t started_ms;
	int64_t backoff_ms; /* the next wait */
	int64_t restart_ms; /* when it is due */

	bool is_stopping;
	bool is_ending; /* the command is gone, the rest has been asked */
	unsigned stop_signals;
	int64_t stop_limit_ms;
	int exit_code;
};

/* Runs until somebody asks it to stop. The exit code. */
int keeper_run(struct keeper *keeper);

#endif
