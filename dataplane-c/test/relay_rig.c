#include "relay_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define CHANNEL            "sluice-rig"
#define WORKER_SLOT        3u
#define INTERFACE_COUNTERS SLUICE_WORKER_COUNTERS
#define PATIENCE_MS        10000

static void require(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "rig: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int require_ok(int result, const char *what)
{
	if (result < 0)
		errno = -result;
	require(result >= 0, what);
	return result;
}

bool rig_possible(void)
{
	return geteuid() == 0;
}

static int new_namespace(void)
{
	int fd;

	require(unshare(CLONE_NEWNET) == 0, "unshare");
	fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	require(fd >= 0, "open namespace");
	return fd;
}

static void enter(int namespace)
{
	require(setns(namespace, CLONE_NEWNET) == 0, "setns");
}

__attribute__((format(printf, 2, 0))) static void run_in(int namespace, const char *format,
							 va_list arguments)
{
	char command[512];

	vsnprintf(command, sizeof(command), format, arguments);
	enter(namespace);
	/* The command is the test's own text. NOLINTNEXTLINE(cert-env33-c) */
	require(system(command) == 0, command);
}

void rig_far(struct rig *rig, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	run_in(rig->far_namespace, format, arguments);
	va_end(arguments);
	enter(rig->relay_namespace);
}

void rig_relay(struct rig *rig, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	run_in(rig->relay_namespace, format, arguments);
	va_end(arguments);
}

static void build_links(struct rig *rig)
{
	const int far = rig->far_namespace;

	rig_relay(rig,
		  "ip link add in0 type veth peer name in1 netns /proc/%d/fd/%d && "
		  "ip link add out0 type veth peer name out1 netns /proc/%d/fd/%d",
		  getpid(), far, getpid(), far);
	rig_far(rig, "ip link set lo up && ip addr add 10.77.1.1/24 dev in1 && "
		     "ip addr add 10.77.2.1/24 dev out1 && ip link set in1 up && "
		     "ip link set out1 up && ip route add 239.77.0.0/16 dev in1 && "
		     "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.out1.rp_filter=0");
	rig_relay(rig, "ip addr add 10.77.1.2/24 dev in0 && ip addr add 10.77.2.2/24 dev out0 && "
		       "ip link set lo up && ip link set in0 up && ip link set out0 up");
	rig->in_ifindex = if_nametoindex("in0");
	rig->out_ifindex = if_nametoindex("out0");
}

static struct sluice_event await_event(struct rig *rig, uint32_t kind)
{
	struct sluice_event event;

	for (;;) {
		struct pollfd wait = { .fd = rig->events, .events = POLLIN };

		require(poll(&wait, 1, PATIENCE_MS) == 1, "no event in time");
		require(read(rig->events, &event, sizeof(event)) == sizeof(event), "event");
		if (event.kind == kind)
			return event;
		require(event.kind == SLUICE_EVENT_LINKS, "unexpected event");
	}
}

void rig_start_worker(struct rig *rig)
{
	struct sluice_message counters = { .kind = SLUICE_MESSAGE_COUNTERS };
	struct sluice_event hello;

	require_ok(sluice_worker_start(CHANNEL, WORKER_SLOT, -1, &rig->worker), "worker_start");
	hello = await_event(rig, SLUICE_EVENT_HELLO);
	require(hello.a == WORKER_SLOT && hello.b == SLUICE_ABI_VERSION, "hello");
	rig->connection = hello.connection;
	require_ok(rig_command(rig, &counters, sizeof(counters), &rig->counters_fd, 1), "counters");
}

int rig_command(struct rig *rig, void *message, uint32_t bytes, const int *fds, uint32_t fd_count)
{
	struct sluice_message *header = message;
	struct sluice_event ack;

	header->bytes = bytes;
	header->sequence = ++rig->sequence;
	require_ok(sluice_channel_send(rig->connection, message, bytes, fds, fd_count), "send");
	ack = await_event(rig, SLUICE_EVENT_ACK);
	require(ack.a == rig->sequence, "ack of another command");
	return (int)(int64_t)ack.b;
}

void rig_attach(struct rig *rig, uint32_t shard)
{
	struct sluice_attach_shard attach = {
		.message = { .kind = SLUICE_MESSAGE_ATTACH_SHARD },
		.shard = shard,
		.ifindex = rig->in_ifindex,
		.ring = rig->ring,
	};
	const int fds[2] = { rig->shard, rig->shard_state };

	require_ok(rig_command(rig, &attach, sizeof(attach), fds, 2), "attach");
}

void rig_add_egress(struct rig *rig, uint32_t slot, uint16_t port, uint32_t options)
{
	struct sluice_egress_slot add = {
		.message = { .kind = SLUICE_MESSAGE_ADD_EGRESS },
		.slot = slot,
		.ifindex = rig->out_ifindex,
		.options = options,
	};
	int fd = require_ok(sluice_egress_open(rig->out_ifindex, 0, htons(port)), "egress_open");

	require_ok(rig_command(rig, &add, sizeof(add), &fd, 1), "add egress");
	sluice_close(fd);
}

int rig_install(struct rig *rig, const struct sluice_rule_record *rules, uint32_t rule_count,
		const struct sluice_output_record *outputs, uint32_t output_count)
{
	const struct sluice_interface_record interface = {
		.name = "in0",
		.ifindex = rig->in_ifindex,
		.counter_index = INTERFACE_COUNTERS,
	};
	struct sluice_message install = { .kind = SLUICE_MESSAGE_INSTALL_TABLE };
	int fd, result;

	for (uint32_t row = 0; row < rule_count; row++)
		require_ok(sluice_filter_add(rig->filter_map, rules[row].group_be), "filter_add");
	fd = require_ok(sluice_table_build(++rig->generation, rules, rule_count, NULL, 0, outputs,
					   output_count, &interface, 1, NULL),
			"table_build");
	result = rig_command(rig, &install, sizeof(install), &fd, 1);
	sluice_close(fd);
	return result;
}

void rig_open(struct rig *rig, bool vnet)
{
	memset(rig, 0, sizeof(*rig));
	rig->far_namespace = new_namespace();
	rig->relay_namespace = new_namespace();
	build_links(rig);
	rig->filter = require_ok(sluice_filter_create(1024, &rig->filter_map), "filter_create");
	require_ok(sluice_ring_plan(1500, 4 << 20, vnet, &rig->ring), "ring_plan");
	require_ok(sluice_shards_open(rig->in_ifindex, 1, &rig->ring, rig->filter, &rig->shard),
		   "shards_open");
	rig->shard_state = require_ok(sluice_shard_state_create(), "shard_state");
	rig->counters_fd = require_ok(sluice_counters_create(RIG_COUNTERS), "counters");
	rig->counters = mmap(NULL, RIG_COUNTERS * sizeof(uint64_t), PROT_READ, MAP_SHARED,
			     rig->counters_fd, 0);
	require(rig->counters != MAP_FAILED, "map counters");
	rig->events = require_ok(sluice_events_start(CHANNEL, 0), "events_start");
	rig_start_worker(rig);
}

void rig_close(struct rig *rig)
{
	if (rig->worker)
		sluice_worker_stop(rig->worker);
	sluice_events_stop();
	sluice_close(rig->events);
	munmap(rig->counters, RIG_COUNTERS * sizeof(uint64_t));
	sluice_close(rig->counters_fd);
	sluice_close(rig->shard);
	sluice_close(rig->shard_state);
	sluice_close(rig->filter);
	sluice_close(rig->filter_map);
	sluice_close(rig->far_namespace);
	sluice_close(rig->relay_namespace);
}

/* Blocks of 16 for rules, of 8 for outputs, behind the worker's and the interface's. */
uint32_t rig_rule_counters(uint32_t number)
{
	return 128 + number * SLUICE_RULE_COUNTERS;
}

uint32_t rig_output_counters(uint32_t number)
{
	return 8192 + number * SLUICE_OUTPUT_COUNTERS;
}

struct sluice_rule_record rig_rule(const struct rig *rig, uint32_t number, uint32_t output_first,
				   uint32_t output_count)
{
	return (struct sluice_rule_record){
		.uid = { (uint8_t)number },
		.input_ifindex = rig->in_ifindex,
		.group_be = htonl(0xef4d0000u + number),
		.port_be = htons((uint16_t)(5000 + number)),
		.output_first = output_first,
		.output_count = output_count,
		.counter_index = rig_rule_counters(number),
	};
}

struct sluice_output_record rig_output(const struct rig *rig, uint32_t number, uint32_t slot)
{
	return (struct sluice_output_record){
		.key = number,
		.ifindex = rig->out_ifindex,
		.egress_slot = slot,
		.destination_be = htonl(0xef4e0000u + number),
		.source_be = htonl(0x0a4d0202u),
		.port_be = htons((uint16_t)(6000 + number)),
		.ttl = 16,
		.tos = 46 << 2,
		.mtu = 1500,
		.counter_index = rig_output_counters(number),
	};
}

int rig_sender(struct rig *rig)
{
	struct in_addr from = { htonl(0x0a4d0101u) };
	const int bytes = 8 << 20;
	int fd;

	enter(rig->far_namespace);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	require(fd >= 0 && setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &from, sizeof(from)) == 0 &&
			setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) == 0,
		"sender");
	enter(rig->relay_namespace);
	return fd;
}

static void send_message(int sender, uint32_t number, const void *payload, uint32_t bytes,
			 uint16_t segment_bytes)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)(5000 + number)),
				  .sin_addr = { htonl(0xef4d0000u + number) } };
	struct iovec vector = { (void *)payload, bytes };
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(segment_bytes))];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(segment_bytes)),
				  .cmsg_level = IPPROTO_UDP,
				  .cmsg_type = UDP_SEGMENT } };
	struct msghdr message = {
		.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &vector, .msg_iovlen = 1
	};

	if (segment_bytes) {
		memcpy(CMSG_DATA(&control.header), &segment_bytes, sizeof(segment_bytes));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	require(sendmsg(sender, &message, 0) == (ssize_t)bytes, "sendmsg");
}

void rig_send(int sender, uint32_t number, const void *payload, uint32_t bytes)
{
	send_message(sender, number, payload, bytes, 0);
}

void rig_send_segments(int sender, uint32_t number, const void *payload, uint32_t bytes,
		       uint16_t segment_bytes)
{
	send_message(sender, number, payload, bytes, segment_bytes);
}

int rig_receiver(struct rig *rig, uint32_t number)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)(6000 + number)),
				       .sin_addr = { htonl(0xef4e0000u + number) } };
	struct ip_mreqn join = { .imr_multiaddr = address.sin_addr };
	const int bytes = 16 << 20;
	const int off = 0;
	int fd;

	enter(rig->far_namespace);
	join.imr_ifindex = (int)if_nametoindex("out1");
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	require(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
			setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof(off)) == 0 &&
			setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof(join)) == 0 &&
			setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) == 0,
		"receiver");
	enter(rig->relay_namespace);
	return fd;
}

int rig_receive(int receiver, void *payload, uint32_t capacity, int timeout_ms)
{
	struct pollfd wait = { .fd = receiver, .events = POLLIN };

	if (poll(&wait, 1, timeout_ms) != 1)
		return -1;
	return (int)recv(receiver, payload, capacity, 0);
}

uint64_t rig_await(struct rig *rig, uint32_t counter, uint64_t value)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	uint64_t seen = 0;

	for (int waited_ms = 0; waited_ms < PATIENCE_MS; waited_ms++) {
		seen = __atomic_load_n(&rig->counters[counter], __ATOMIC_RELAXED);
		if (seen >= value)
			break;
		nanosleep(&nap, NULL);
	}
	return seen;
}

void rig_print_lines(struct rig *rig)
{
	char line[1024];
	int bytes;

	while ((bytes = sluice_worker_take_line(rig->worker, line, sizeof(line))) > 0)
		fprintf(stderr, "worker: level %d facility %d: %.*s\n", line[0], line[1], bytes - 2,
			line + 2);
}
