#include "worker_channel.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* What each command must look like. */
struct shape {
	size_t least_bytes;
	size_t most_bytes;
	uint32_t fd_count;
};

static const struct shape shapes[] = {
	[SLUICE_MESSAGE_COUNTERS] = { sizeof(struct sluice_message), sizeof(struct sluice_message),
				      1 },
	[SLUICE_MESSAGE_ATTACH_SHARD] = { sizeof(struct sluice_attach_shard),
					  sizeof(struct sluice_attach_shard), 2 },
	[SLUICE_MESSAGE_DETACH_SHARD] = { sizeof(struct sluice_detach_shard),
					  sizeof(struct sluice_detach_shard), 0 },
	[SLUICE_MESSAGE_ADD_EGRESS] = { sizeof(struct sluice_egress_slot),
					sizeof(struct sluice_egress_slot), 1 },
	[SLUICE_MESSAGE_REMOVE_EGRESS] = { sizeof(struct sluice_egress_slot),
					   sizeof(struct sluice_egress_slot), 0 },
	[SLUICE_MESSAGE_INSTALL_TABLE] = { sizeof(struct sluice_message),
					   sizeof(struct sluice_message), 1 },
	[SLUICE_MESSAGE_NOTE] = { sizeof(struct sluice_message) + 1, SLUICE_MAX_MESSAGE_BYTES, 0 },
	[SLUICE_MESSAGE_STOP] = { sizeof(struct sluice_message), sizeof(struct sluice_message), 0 },
};

/* Anybody may take a free abstract name. */
static bool is_supervisor(int channel)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	return getsockopt(channel, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

int worker_channel_connect(const char *name)
{
	struct sockaddr_un address;
	socklen_t length;
	int error = channel_address(name, &address, &length);
	int channel;

	if (error)
		return error;
	channel = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (channel < 0)
		return -errno;
	if (connect(channel, (struct sockaddr *)&address, length))
		error = -errno;
	else if (!is_supervisor(channel))
		error = -ECONNREFUSED;
	else
		return channel;
	close(channel);
	return error;
}

int worker_channel_report(int channel, enum report_kind kind, uint64_t a, uint64_t b)
{
	const struct report report = { .kind = kind, .bytes = sizeof(report), .a = a, .b = b };

	return send(channel, &report, sizeof(report), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static bool has_its_shape(const struct command *command, size_t bytes)
{
	const uint32_t kind = command->message.kind;
	const struct shape *shape;

	if (kind == 0 || kind >= sizeof(shapes) / sizeof(shapes[0]))
		return false;
	shape = &shapes[kind];
	return command->message.bytes == bytes && bytes >= shape->least_bytes &&
	       bytes <= shape->most_bytes && command->fd_count == shape->fd_count;
}

static void take_descriptors(struct command *command, struct msghdr *message)
{
	struct cmsghdr *header;

	for (header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
		size_t count;

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		/* Control space is for CHANNEL_MAX_FDS: the kernel never gives more. */
		for (size_t at = 0; at < count && command->fd_count < CHANNEL_MAX_FDS; at++)
			memcpy(&command->fds[command->fd_count++],
			       CMSG_DATA(header) + at * sizeof(int), sizeof(int));
	}
}

int worker_channel_receive(int channel, struct command *command)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(CHANNEL_MAX_FDS * sizeof(int))];
	} control;
	struct iovec vector = { command->bytes, sizeof(command->bytes) };
	struct msghdr message = { .msg_iov = &vector,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	ssize_t bytes;

	command->fd_count = 0;
	bytes = recvmsg(channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (bytes < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -ENOTCONN;
	take_descriptors(command, &message);
	/* The end, or a message without a byte, which no supervisor sends. */
	if (bytes == 0) {
		command_close(command);
		return -ENOTCONN;
	}
	if ((size_t)bytes < sizeof(command->message) || message.msg_flags & MSG_TRUNC) {
		command_close(command);
		return -EPROTO;
	}
	/* Some descriptors found no place: RLIMIT_NOFILE. */
	if (message.msg_flags & MSG_CTRUNC) {
		command_close(command);
		return -EMFILE;
	}
	if (!has_its_shape(command, (size_t)bytes)) {
		command_close(command);
		return -EBADMSG;
	}
	return 1;
}

void command_close(struct command *command)
{
	for (uint32_t at = 0; at < command->fd_count; at++)
		close(command->fds[at]);
	command->fd_count = 0;
}
