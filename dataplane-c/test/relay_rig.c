#include "relay_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHANNEL     "sluice-rig"
#define PATIENCE_MS 10000

void rig_require(bool holds, const char *what)
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
	rig_require(result >= 0, what);
	return result;
}

bool rig_possible(void)
{
	return geteuid() == 0;
}

static int new_namespace(void)
{
	int fd;

	rig_require(unshare(CLONE_NEWNET) == 0, "unshare");
	fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	rig_require(fd >= 0, "open namespace");
	return fd;
}

void rig_enter(int namespace)
{
	rig_require(setns(namespace, CLONE_NEWNET) == 0, "setns");
}

__attribute__((format(printf, 2, 0))) static void run_in(int namespace, const char *format,
							 va_list arguments)
{
	char command[512];

	vsnprintf(command, sizeof(command), format, arguments);
	rig_enter(namespace);
	/* The command is the test's own text. NOLINTNEXTLINE(cert-env33-c) */
	rig_require(system(command) == 0, command);
}

void rig_far(struct rig *rig, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	run_in(rig->far_namespace, format, arguments);
	va_end(arguments);
	rig_enter(rig->relay_namespace);
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

/*
 * Link changes come at any time and matter to no test; what is said of a deaf ring comes again. A worker that does not
 * get the CPU for a second is said to hang, and goes on.
 */
static struct sluice_event await_event(struct rig *rig, uint32_t kind)
{
	struct sluice_event event;

	for (;;) {
		struct pollfd wait = { .fd = rig->events, .events = POLLIN };

		rig_require(poll(&wait, 1, PATIENCE_MS) == 1, "no event in time");
		rig_require(read(rig->events, &event, sizeof(event)) == sizeof(event), "event");
		if (event.kind == kind)
			return event;
		rig_require(event.kind == SLUICE_EVENT_LINKS || event.kind == SLUICE_EVENT_DEAF ||
				    event.kind == SLUICE_EVENT_HANGS,
			    "unexpected event");
	}
}

/* Waits for the worker's HELLO and gives it its counters. */
static void welcome(struct rig *rig)
{
	struct sluice_message counters = { .kind = SLUICE_MESSAGE_COUNTERS };
	struct sluice_event hello = await_event(rig, SLUICE_EVENT_HELLO);

	rig_require(hello.a == RIG_WORKER_SLOT && hello.b == SLUICE_ABI_VERSION, "hello");
	rig->connection = hello.connection;
	require_ok(rig_command(rig, &counters, sizeof(counters), &rig->counters_fd, 1), "counters");
	require_ok(sluice_life_watch(rig->connection, rig->counters_fd), "life_watch");
}

void rig_start_worker(struct rig *rig)
{
	require_ok(sluice_worker_start(CHANNEL, RIG_WORKER_SLOT, -1, &rig->worker), "worker_start");
	welcome(rig);
}

pid_t rig_start_worker_process(struct rig *rig)
{
	struct sluice_worker *worker;
	pid_t child = fork();

	rig_require(child >= 0, "fork");
	if (child == 0) {
		/* Dies with its parent, should that fail. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		require_ok(sluice_worker_start(CHANNEL, RIG_WORKER_SLOT, -1, &worker),
			   "worker_start");
		for (;;)
			pause();
	}
	welcome(rig);
	return child;
}

uint64_t rig_await_ack(struct rig *rig)
{
	return await_event(rig, SLUICE_EVENT_ACK).a;
}

int rig_command(struct rig *rig, void *message, uint32_t bytes, const int *fds, uint32_t fd_count)
{
	struct sluice_message *header = message;
	struct sluice_event ack;

	header->bytes = bytes;
	header->sequence = ++rig->sequence;
	require_ok(sluice_channel_send(rig->connection, message, bytes, fds, fd_count), "send");
	ack = await_event(rig, SLUICE_EVENT_ACK);
	rig_require(ack.a == rig->sequence, "ack of another command");
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

static void add_egress(struct rig *rig, uint32_t slot, int fd, uint32_t options)
{
	struct sluice_egress_slot add = {
		.message = { .kind = SLUICE_MESSAGE_ADD_EGRESS },
		.slot = slot,
		.ifindex = rig->out_ifindex,
		.options = options,
	};

	require_ok(rig_command(rig, &add, sizeof(add), &fd, 1), "add egress");
	sluice_close(fd);
}

static int open_egress(const struct rig *rig, uint32_t slot, uint32_t bind_be)
{
	return require_ok(sluice_egress_open(rig->out_ifindex, bind_be,
					     htons((uint16_t)(RIG_SOURCE_PORT + slot))),
			  "egress_open");
}

void rig_add_egress(struct rig *rig, uint32_t slot, uint32_t options)
{
	add_egress(rig, slot, open_egress(rig, slot, 0), options);
}

void rig_add_egress_unicast(struct rig *rig, uint32_t slot)
{
	add_egress(rig, slot, open_egress(rig, slot, htonl(RIG_OUT_ADDRESS)), 0);
}

void rig_add_egress_refusing(struct rig *rig, uint32_t slot)
{
	const int on = 1;
	int fd = open_egress(rig, slot, 0);

	/* The kernel never segments what it must not checksum: EINVAL. */
	rig_require(setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)) == 0, "SO_NO_CHECK");
	add_egress(rig, slot, fd, 0);
}

int rig_install(struct rig *rig, const struct sluice_rule_record *rules, uint32_t rule_count,
		const struct sluice_output_record *outputs, uint32_t output_count)
{
	const struct sluice_interface_record interface = {
		.name = "in0",
		.ifindex = rig->in_ifindex,
		.counter_index = RIG_INTERFACE_COUNTERS,
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
	rig->filter =
		require_ok(sluice_filter_create(1024, vnet, &rig->filter_map), "filter_create");
	require_ok(sluice_ring_plan(1500, 4 << 20, vnet, &rig->ring), "ring_plan");
	require_ok(sluice_shards_open(rig->in_ifindex, 1, &rig->ring, rig->filter, &rig->shard),
		   "shards_open");
	rig->shard_state = require_ok(sluice_shard_state_create(), "shard_state");
	rig->counters_fd = require_ok(sluice_counters_create(RIG_COUNTERS), "counters");
	rig->counters = mmap(NULL, RIG_COUNTERS * sizeof(uint64_t), PROT_READ, MAP_SHARED,
			     rig->counters_fd, 0);
	rig_require(rig->counters != MAP_FAILED, "map counters");
	rig->events = require_ok(sluice_events_start(CHANNEL, 0), "events_start");
	rig_start_worker(rig);
}

void rig_supervisor_dies(struct rig *rig)
{
	sluice_events_stop();
	sluice_close(rig->events);
}

void rig_supervisor_returns(struct rig *rig, uint32_t shard)
{
	struct sluice_event hello;

	rig->events = require_ok(sluice_events_start(CHANNEL, 0), "events_start");
	hello = await_event(rig, SLUICE_EVENT_HELLO);
	rig_require(hello.a == RIG_WORKER_SLOT &&
			    hello.b == (SLUICE_ABI_VERSION | UINT64_C(1) << 32),
		    "hello again");
	rig->connection = hello.connection;
	rig_require(await_event(rig, SLUICE_EVENT_HOLDS).a == shard, "holds");
}

void rig_await_gone(struct rig *rig)
{
	await_event(rig, SLUICE_EVENT_GONE);
}

void rig_stop_worker(struct rig *rig)
{
	sluice_worker_stop(rig->worker);
	rig->worker = NULL;
	rig_await_gone(rig);
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

/* Blocks of 16 for rules and for outputs, behind the worker's and the interface's. */
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
		.source_be = htonl(RIG_OUT_ADDRESS),
		.port_be = htons((uint16_t)(6000 + number)),
		.ttl = 16,
		.tos = 46 << 2,
		.mtu = 1500,
		.counter_index = rig_output_counters(number),
	};
}

uint64_t rig_counter(const struct rig *rig, uint32_t counter)
{
	return __atomic_load_n(&rig->counters[counter], __ATOMIC_RELAXED);
}

uint64_t rig_await(struct rig *rig, uint32_t counter, uint64_t value)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	uint64_t seen = 0;

	for (int waited_ms = 0; waited_ms < PATIENCE_MS; waited_ms++) {
		seen = rig_counter(rig, counter);
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
