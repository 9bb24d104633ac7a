/* The worker's end of the channel keeps no descriptor of what it does not take. */
#include "../src/worker_channel.h"
#include "expect.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int ends[2];

static int lowest_free_fd(void)
{
	const int fd = dup(0);

	close(fd);
	return fd;
}

static void send_with_descriptor(const void *bytes, size_t count)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS,
				  .cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct iovec part = { .iov_base = (void *)bytes, .iov_len = count };
	const struct msghdr message = { .msg_iov = &part,
					.msg_iovlen = 1,
					.msg_control = &control,
					.msg_controllen = sizeof(control) };
	const int fd = 0;

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	EXPECT_EQUAL(sendmsg(ends[1], &message, 0), count);
}

static void expect_refused(const void *bytes, size_t count, int error)
{
	static struct command command;
	const int before = lowest_free_fd();

	send_with_descriptor(bytes, count);
	EXPECT_EQUAL(worker_channel_receive(ends[0], &command), error);
	EXPECT_EQUAL(lowest_free_fd(), before);
}

int main(void)
{
	const struct sluice_message stop = { .kind = SLUICE_MESSAGE_STOP, .bytes = sizeof(stop) };

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return 1;
	expect_refused("", 0, -ENOTCONN);
	expect_refused(&stop, 3, -EPROTO);
	/* One descriptor more than the command has. */
	expect_refused(&stop, sizeof(stop), -EBADMSG);
	return failures ? 1 : 0;
}
