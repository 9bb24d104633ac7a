/*
 * The reference of `sluice bench`: what plain C does without any of Sluice's tricks. One thread, ordinary UDP
 * sockets, recvmmsg in, sendmmsg out. It trusts its command line, which the benchmark writes.
 *
 *   reference_relay --in IFACE:GROUP:PORT --out IFACE:ADDR:PORT [--streams N | --copies N]
 *
 * With --streams, group GROUP+i goes to ADDR+i; with --copies, GROUP goes to ADDR, ADDR+1, …
 */
#include "../tools/arguments.h"
#include "../tools/endpoint.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#define BATCH_DATAGRAMS      64
#define SLOT_BYTES           (65536u + 64u) /* slots do not start at the same cache set */
#define TTL                  16
#define BUFFER_BYTES_ALL     (32 * 1024 * 1024) /* what a ring of Sluice's has */
#define BUFFER_BYTES_MINIMUM (1024 * 1024)
#define EVENTS_MAX           256

struct relay {
	struct endpoint in;
	struct endpoint out;
	unsigned streams;
	unsigned copies;
	int *inputs; /* one for each stream */
	int output;
};

struct batch {
	struct mmsghdr messages[BATCH_DATAGRAMS];
	struct iovec vectors[BATCH_DATAGRAMS];
	uint8_t payloads[BATCH_DATAGRAMS][SLOT_BYTES];
};

static void require(bool done, const char *what)
{
	if (!done)
		fail(EXIT_REFUSED, "reference relay: %s: %s", what, strerror(errno));
}

static struct relay read_arguments(int argc, char *argv[])
{
	static const struct option flags[] = {
		{ "in", required_argument, NULL, 'i' },
		{ "out", required_argument, NULL, 'o' },
		{ "streams", required_argument, NULL, 's' },
		{ "copies", required_argument, NULL, 'c' },
		{ 0 },
	};
	struct relay relay = { .streams = 1, .copies = 1 };
	const char *refusal = NULL;
	int flag = 0;

	opterr = 0;
	while ((flag = getopt_long(argc, argv, ":", flags, NULL)) != -1) {
		if (flag == 'i' || flag == 'o')
			refusal = endpoint_parse(optarg, flag == 'i' ? &relay.in : &relay.out);
		else if (flag == 's')
			relay.streams = (unsigned)argument_number("--streams", optarg, 1,
								  ENDPOINT_COUNT_MAX);
		else if (flag == 'c')
			relay.copies = (unsigned)argument_number("--copies", optarg, 1,
								 ENDPOINT_COUNT_MAX);
		else
			argument_unknown(flag, argv, "bench");
		if (refusal)
			fail(EXIT_REFUSED, "%s: %s", optarg, refusal);
	}
	if (!relay.in.ifindex || !relay.out.ifindex || (relay.streams > 1 && relay.copies > 1))
		fail(EXIT_USAGE, "reference relay: give --in, --out, and --streams or --copies");
	return relay;
}

static int open_input(const struct endpoint *in, unsigned index, int buffer_bytes)
{
	const union socket_address group = endpoint_destination(in, index);
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const int off = 0;
	const struct ip_mreqn membership = {
		.imr_multiaddr = group.v4.sin_addr,
		.imr_ifindex = (int)in->ifindex,
	};

	require(fd >= 0, "cannot make a socket");
	require(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof(buffer_bytes)) ==
			0,
		"cannot set the receive buffer");
	require(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof(off)) == 0,
		"cannot restrict a socket to its group");
	require(bind(fd, &group.any, address_bytes(&group)) == 0, "cannot bind");
	require(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &membership, sizeof(membership)) == 0,
		"cannot join");
	return fd;
}

static int open_output(const struct endpoint *out)
{
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const int buffer_bytes = 8 * 1024 * 1024;
	const int off = 0;
	const int ttl = TTL;
	const struct ip_mreqn interface = { .imr_ifindex = (int)out->ifindex };

	require(fd >= 0, "cannot make a socket");
	require(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &interface, sizeof(interface)) == 0,
		"cannot choose the output interface");
	require(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &off, sizeof(off)) == 0 &&
			setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof(ttl)) == 0,
		"cannot set TTL and loop");
	require(setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer_bytes, sizeof(buffer_bytes)) ==
			0,
		"cannot set the send buffer");
	return fd;
}

static void open_sockets(struct relay *relay)
{
	const struct rlimit many = { .rlim_cur = ENDPOINT_COUNT_MAX + 16,
				     .rlim_max = ENDPOINT_COUNT_MAX + 16 };
	int buffer_bytes = BUFFER_BYTES_ALL / (int)relay->streams;

	if (buffer_bytes < BUFFER_BYTES_MINIMUM)
		buffer_bytes = BUFFER_BYTES_MINIMUM;
	require(setrlimit(RLIMIT_NOFILE, &many) == 0, "cannot raise the limit of open files");
	relay->inputs = calloc(relay->streams, sizeof(*relay->inputs));
	require(relay->inputs, "out of memory");
	for (unsigned stream = 0; stream < relay->streams; stream++)
		relay->inputs[stream] = open_input(&relay->in, stream, buffer_bytes);
	relay->output = open_output(&relay->out);
}

static struct batch *make_batch(void)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	require(batch, "out of memory");
	for (int slot = 0; slot < BATCH_DATAGRAMS; slot++) {
		batch->vectors[slot].iov_base = batch->payloads[slot];
		batch->messages[slot].msg_hdr = (struct msghdr){
			.msg_iov = &batch->vectors[slot],
			.msg_iovlen = 1,
		};
	}
	return batch;
}

/* Sends the batch to one destination; a datagram that the kernel refuses is left out. */
static void send_batch(const struct relay *relay, struct batch *batch, unsigned datagrams,
		       unsigned destination)
{
	union socket_address to = endpoint_destination(&relay->out, destination);
	unsigned next = 0;

	for (unsigned slot = 0; slot < datagrams; slot++) {
		batch->messages[slot].msg_hdr.msg_name = &to;
		batch->messages[slot].msg_hdr.msg_namelen = address_bytes(&to);
	}
	while (next < datagrams) {
		const int sent =
			sendmmsg(relay->output, batch->messages + next, datagrams - next, 0);

		next += sent > 0 ? (unsigned)sent : 1;
	}
}

/* Receives one batch of a stream and sends it on. Returns how many datagrams that were. */
static unsigned forward(const struct relay *relay, struct batch *batch, unsigned stream, int flags)
{
	for (int slot = 0; slot < BATCH_DATAGRAMS; slot++) {
		batch->vectors[slot].iov_len = SLOT_BYTES;
		batch->messages[slot].msg_hdr.msg_name = NULL;
		batch->messages[slot].msg_hdr.msg_namelen = 0;
	}

	const int received =
		recvmmsg(relay->inputs[stream], batch->messages, BATCH_DATAGRAMS, flags, NULL);

	if (received <= 0)
		return 0;
	for (int slot = 0; slot < received; slot++)
		batch->vectors[slot].iov_len = batch->messages[slot].msg_len;
	for (unsigned copy = 0; copy < relay->copies; copy++)
		send_batch(relay, batch, (unsigned)received, stream + copy);
	return (unsigned)received;
}

static void forward_many(const struct relay *relay, struct batch *batch)
{
	struct epoll_event events[EVENTS_MAX];
	const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

	require(epoll_fd >= 0, "cannot make an epoll");
	for (unsigned stream = 0; stream < relay->streams; stream++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = stream };

		require(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, relay->inputs[stream], &event) == 0,
			"cannot watch a socket");
	}
	for (;;) {
		const int ready = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);

		for (int event = 0; event < ready; event++)
			forward(relay, batch, events[event].data.u32, MSG_DONTWAIT);
	}
}

int main(int argc, char *argv[])
{
	struct relay relay = read_arguments(argc, argv);
	struct batch *batch = make_batch();

	open_sockets(&relay);
	if (relay.streams > 1)
		forward_many(&relay, batch);
	/* A single socket needs nobody to say that it is ready. */
	for (;;)
		forward(&relay, batch, 0, MSG_WAITFORONE);
}
