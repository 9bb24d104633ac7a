/* What the system call filter costs: the calls of the packet thread's loop, free and confined. */
#include "bench.h"
#include "sluice.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int egress;

static uint64_t poll_nothing(uint32_t operations)
{
	struct pollfd nothing = { .fd = -1 };
	uint64_t sum = 0;

	for (uint32_t i = 0; i < operations; i++)
		sum += (uint64_t)poll(&nothing, 1, 0) + i;
	return sum;
}

static uint64_t send_one(uint32_t operations)
{
	char payload[64] = "";
	struct iovec part = { payload, sizeof(payload) };
	struct mmsghdr message = { .msg_hdr = { .msg_iov = &part, .msg_iovlen = 1 } };
	uint64_t sum = 0;

	for (uint32_t i = 0; i < operations / 10; i++)
		sum += (uint64_t)sendmmsg(egress, &message, 1, MSG_DONTWAIT);
	return sum;
}

/* The price of a call whose arguments the filter has to look at. */
static uint64_t get_flags(uint32_t operations)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < operations; i++)
		sum += (uint64_t)fcntl(egress, F_GETFL);
	return sum;
}

int main(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	socklen_t length = sizeof(to);
	const int sink = socket(AF_INET, SOCK_DGRAM, 0);

	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	egress = socket(AF_INET, SOCK_DGRAM, 0);
	/* Nobody reads the sink: what does not fit is thrown away, which costs the same both times. */
	if (sink < 0 || egress < 0 || bind(sink, (struct sockaddr *)&to, length) ||
	    getsockname(sink, (struct sockaddr *)&to, &length) ||
	    connect(egress, (struct sockaddr *)&to, length))
		return 1;
	bench("poll of nothing", poll_nothing);
	bench("sendmmsg of one (a tenth)", send_one);
	bench("fcntl", get_flags);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || sluice_worker_confine())
		return 1;
	bench("poll of nothing, confined", poll_nothing);
	bench("sendmmsg of one (a tenth), confined", send_one);
	bench("fcntl, confined", get_flags);
	return 0;
}
