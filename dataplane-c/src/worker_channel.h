/*
 * The worker's end of the channel (channel.h): connects, reports, and receives one
 * command at a time with its descriptors, checked for length and number before
 * anybody looks inside.
 */
#ifndef SLUICE_WORKER_CHANNEL_H
#define SLUICE_WORKER_CHANNEL_H

#include <stdbool.h>

#include "channel.h"
#include "sluice.h"

struct command {
	union {
		struct sluice_message message;
		struct sluice_attach_shard attach_shard;
		struct sluice_detach_shard detach_shard;
		struct sluice_egress_slot egress_slot;
		uint8_t bytes[SLUICE_MAX_MESSAGE_BYTES];
	};
	/* The command's; who takes them sets it to 0. */
	uint32_t fd_count;
	int fds[CHANNEL_MAX_FDS];
};

/* One attempt. The socket, or -errno: -ECONNREFUSED while nobody listens. */
int worker_channel_connect(const char *name);

/* 0, or -errno; -EAGAIN: the supervisor has not read for long. */
int worker_channel_report(int channel, enum report_kind kind, uint64_t a, uint64_t b);

/*
 * The next command, without waiting. 1; 0: none; -EBADMSG: kind, length or number of
 * descriptors are wrong; -EMFILE: this process may have no more descriptors; in both
 * cases the sequence is in command->message. -ENOTCONN: the supervisor closed the
 * channel; -EPROTO: no message of ours.
 */
int worker_channel_receive(int channel, struct command *command);
/* Closes what nobody took. */
void command_close(struct command *command);

#endif
