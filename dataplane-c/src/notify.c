/* The supervisor's side of systemd's descriptor store: sd_notify(3), sd_listen_fds(3). */
#include "sluice.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* A keeper that does not read for so long has other troubles. */
#define SEND_LIMIT_SECONDS 1

#define FIRST_LISTEN_FD 3

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(SLUICE_NOTIFY_MAX_FDS * sizeof(int))];
};

/* NOTIFY_SOCKET names a path, or with '@' first an abstract name. */
static int address_of(const char *name, struct sockaddr_un *address, socklen_t *length)
{
	const size_t name_bytes = strlen(name);
	const bool is_abstract = name[0] == '@';

	if (name_bytes < 2 || name_bytes >= sizeof(address->sun_path))
		return -EINVAL;
	if (!is_abstract && name[0] != '/')
		return -EAFNOSUPPORT;
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, name, name_bytes);
	if (is_abstract)
		address->sun_path[0] = 0;
	*length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + name_bytes + !is_abstract);
	return 0;
}

static int send_to(const struct sockaddr_un *address, socklen_t length, struct msghdr *message,
		   int flags)
{
	const struct timeval limit = { .tv_sec = SEND_LIMIT_SECONDS };
	const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int result = 1;

	if (fd < 0)
		return -errno;
	/* The kernel copies the name; msg_name is not const in POSIX. */
	message->msg_name = (void *)(uintptr_t)address;
	message->msg_namelen = length;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) ||
	    sendmsg(fd, message, MSG_NOSIGNAL | flags) < 0)
		result = -errno;
	close(fd);
	return result;
}

static int notify(const char *message, uint32_t bytes, const int *fds, uint32_t count, int flags)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address;
	socklen_t length;
	union control control = { .header.cmsg_level = SOL_SOCKET,
				  .header.cmsg_type = SCM_RIGHTS,
				  .header.cmsg_len = CMSG_LEN(count * sizeof(int)) };
	struct iovec text = { .iov_base = (void *)(uintptr_t)message, .iov_len = bytes };
	struct msghdr header = { .msg_iov = &text, .msg_iovlen = 1 };
	int error;

	if (!message || !bytes || bytes > SLUICE_NOTIFY_MAX_BYTES ||
	    count > SLUICE_NOTIFY_MAX_FDS || (count && !fds))
		return -EINVAL;
	if (!name || !*name)
		return 0;
	error = address_of(name, &address, &length);
	if (error)
		return error;
	if (count) {
		memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
		header.msg_control = &control;
		header.msg_controllen = CMSG_SPACE(count * sizeof(int));
	}
	return send_to(&address, length, &header, flags);
}

int sluice_notify_send(const char *message, uint32_t bytes, const int *fds, uint32_t count)
{
	return notify(message, bytes, fds, count, 0);
}

int sluice_notify_barrier(void)
{
	static const char message[] = "BARRIER=1";
	int ends[2];
	int sent;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	sent = notify(message, sizeof(message) - 1, &ends[1], 1, MSG_DONTWAIT);
	close(ends[1]);
	if (sent == 1)
		return ends[0];
	close(ends[0]);
	return sent ? sent : -ENOTCONN;
}

/* A decimal number that is all there is; -1 otherwise. */
static long number_in(const char *variable)
{
	const char *text = getenv(variable);
	char *end;
	long value;

	if (!text || *text < '0' || *text > '9')
		return -1;
	errno = 0;
	value = strtol(text, &end, 10);
	return *end || errno ? -1 : value;
}

int sluice_listen_fds(void)
{
	const long count = number_in("LISTEN_FDS");

	if (count <= 0 || number_in("LISTEN_PID") != getpid())
		return 0;
	if (count > SLUICE_LISTEN_MAX_FDS)
		return -EINVAL;
	for (int fd = FIRST_LISTEN_FD; fd < FIRST_LISTEN_FD + (int)count; fd++) {
		const int flags = fcntl(fd, F_GETFD);

		if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC))
			return -errno;
	}
	return (int)count;
}
