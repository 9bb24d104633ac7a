#include "peer.h"
#include "../src/channel.h"
#include "veth_pair.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEADLINE_MS 10000
#define POLL_MS     10

int peer_connect(const char *channel)
{
	struct sockaddr_un address;
	socklen_t length;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0 || channel_address(channel, &address, &length))
		give_up("peer: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&address, length) == 0)
		return fd;
	close(fd);
	return -errno;
}

bool peer_report(int peer, uint32_t kind, uint64_t a, uint64_t b)
{
	struct report report = { .kind = kind, .bytes = sizeof(report), .a = a, .b = b };

	return send(peer, &report, sizeof(report), MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof(report);
}

static bool is_full(int pipe)
{
	int bytes = 0;

	if (ioctl(pipe, FIONREAD, &bytes))
		give_up("FIONREAD: %s", strerror(errno));
	return bytes == fcntl(pipe, F_GETPIPE_SZ);
}

uint64_t peer_fill(int peer, int pipe)
{
	struct pollfd wait = { .fd = peer, .events = POLLOUT };
	uint64_t sent = 0;

	for (;;) {
		const bool full = is_full(pipe);

		if (poll(&wait, 1, POLL_MS) == 1)
			sent += peer_report(peer, REPORT_ACK, sent, 0);
		else if (full)
			return sent;
	}
}

long peer_receive(int peer, void *message, uint32_t capacity, int *fds, uint32_t *fd_count)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(CHANNEL_MAX_FDS * sizeof(int))];
	struct iovec part = { .iov_base = message, .iov_len = capacity };
	struct msghdr envelope = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct pollfd wait = { .fd = peer, .events = POLLIN };
	const struct cmsghdr *item;
	ssize_t bytes;

	*fd_count = 0;
	if (poll(&wait, 1, DEADLINE_MS) != 1)
		return -1;
	bytes = recvmsg(peer, &envelope, MSG_CMSG_CLOEXEC);
	item = bytes > 0 ? CMSG_FIRSTHDR(&envelope) : NULL;
	if (item) {
		*fd_count = (uint32_t)((item->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(item), *fd_count * sizeof(int));
	}
	return bytes;
}

struct sluice_event any_event(int pipe)
{
	struct sluice_event event = { 0 };
	struct pollfd wait = { .fd = pipe, .events = POLLIN };

	if (poll(&wait, 1, DEADLINE_MS) != 1 || read(pipe, &event, sizeof(event)) != sizeof(event))
		return (struct sluice_event){ 0 };
	return event;
}

struct sluice_event next_event(int pipe)
{
	struct sluice_event event;

	do
		event = any_event(pipe);
	while (event.kind == SLUICE_EVENT_LINKS);
	return event;
}

struct sluice_event next_links_event(int pipe)
{
	struct sluice_event event;

	do
		event = any_event(pipe);
	while (event.kind != SLUICE_EVENT_LINKS && event.kind != 0);
	return event;
}

uint32_t peer_greet(const char *channel, int pipe, int *peer, uint32_t slot)
{
	struct sluice_event event;

	*peer = peer_connect(channel);
	if (*peer < 0 || !peer_report(*peer, REPORT_HELLO, slot, SLUICE_ABI_VERSION))
		give_up("peer: not connected");
	event = next_event(pipe);
	if (event.kind != SLUICE_EVENT_HELLO || event.connection == 0 || event.a != slot ||
	    event.b != SLUICE_ABI_VERSION || event.pid != (uint32_t)getpid())
		give_up("peer: greeted, but the event is of kind %u", event.kind);
	return event.connection;
}

bool peer_is_closed(int peer)
{
	char bytes[SLUICE_MAX_MESSAGE_BYTES];
	struct pollfd wait = { .fd = peer, .events = POLLIN };
	const bool closed = poll(&wait, 1, DEADLINE_MS) == 1 &&
			    recv(peer, bytes, sizeof(bytes), 0) <= 0;

	close(peer);
	return closed;
}

int send_command(uint32_t connection, uint64_t sequence, const int *fds, uint32_t fd_count)
{
	struct sluice_message message = {
		.kind = SLUICE_MESSAGE_STOP,
		.bytes = sizeof(message),
		.sequence = sequence,
	};

	return sluice_channel_send(connection, &message, sizeof(message), fds, fd_count);
}
