/*
 * What may come over a worker's channel: any bytes with any descriptors, carried out by
 * the worker's own loop over a real socket.
 *
 * Input: messages, each struct described and then its bytes. Whatever comes, each command
 * is answered once, and no descriptor is left behind.
 */
#include "../src/worker.h"
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

struct described {
	uint8_t kind;                 /* KIND_GIVEN: as in the bytes */
	uint8_t bytes;                /* that follow; with bit 7 set, `length` tells the truth */
	uint8_t fd_count;             /* modulo CHANNEL_MAX_FDS + 1 */
	uint8_t fds[CHANNEL_MAX_FDS]; /* which of `offered` */
	uint8_t reserved;
};

#define KIND_GIVEN 0xffu

/* What a supervisor might hand over, right or wrong. */
enum { OFFERED = 8 };
static int offered[OFFERED];

static int lowest_free_fd(void)
{
	const int fd = dup(STDERR_FILENO);

	HOLDS(fd >= 0);
	close(fd);
	return fd;
}

static int send_message(int fd, const void *bytes, size_t count, const struct described *described)
{
	const uint32_t fd_count = described->fd_count % (CHANNEL_MAX_FDS + 1);
	union {
		struct cmsghdr header;
		uint8_t space[CMSG_SPACE(CHANNEL_MAX_FDS * sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(fd_count * sizeof(int)),
				  .cmsg_level = SOL_SOCKET,
				  .cmsg_type = SCM_RIGHTS } };
	struct iovec vector = { (void *)bytes, count };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };

	for (uint32_t at = 0; at < fd_count; at++)
		memcpy(CMSG_DATA(&control.header) + at * sizeof(int),
		       &offered[described->fds[at] % OFFERED], sizeof(int));
	if (fd_count) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
	}
	return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* One message's bytes, made to look right where the description asks for it. */
static size_t compose(const struct described *described, const uint8_t *bytes, size_t count,
		      uint64_t sequence, uint8_t *message)
{
	struct sluice_message header = { 0 };

	memcpy(message, bytes, count);
	if (count < sizeof(header))
		return count;
	memcpy(&header, message, sizeof(header));
	if (described->kind != KIND_GIVEN)
		header.kind = described->kind % 10;
	if (described->bytes & 0x80)
		header.bytes = (uint32_t)count;
	header.sequence = sequence;
	memcpy(message, &header, sizeof(header));
	return count;
}

static struct sluice_worker *open_worker(int channel)
{
	struct sluice_worker *worker = calloc(1, sizeof(*worker));

	HOLDS(worker);
	worker->channel = channel;
	pthread_mutex_init(&worker->table_lock, NULL);
	mailbox_open(&worker->journal.lines, -1);
	mailbox_open(&worker->notes, -1);
	worker->engine = packet_engine_open(&worker->journal);
	HOLDS(worker->engine);
	return worker;
}

static void close_worker(struct sluice_worker *worker)
{
	worker->engine->ops->close(worker->engine);
	table_unmap(&worker->next_table);
	table_unmap(&worker->table);
	if (worker->counters)
		munmap(worker->counters, worker->counters_bytes);
	pthread_mutex_destroy(&worker->table_lock);
	mailbox_close(&worker->journal.lines);
	mailbox_close(&worker->notes);
	free(worker);
}

/* Answers whether the channel goes on. */
static bool carry_out(struct sluice_worker *worker, int supervisor, uint64_t sequence)
{
	const bool stopped = worker->stopped;
	struct pollfd fds[ENGINE_MAX_SHARDS];
	const int error = commands_take(worker);
	struct report report;
	ssize_t bytes = recv(supervisor, &report, sizeof(report), MSG_DONTWAIT);

	HOLDS(error == 0 || error == -ENOTCONN || error == -EPROTO);
	if (error || stopped) {
		HOLDS(bytes < 0);
		return false;
	}
	HOLDS(bytes == sizeof(report) && report.kind == REPORT_ACK);
	HOLDS(report.bytes == sizeof(report) && report.a == sequence);
	HOLDS((int64_t)report.b <= 0 && (int64_t)report.b > -4096);
	HOLDS(recv(supervisor, &report, sizeof(report), MSG_DONTWAIT) < 0);
	HOLDS(!worker->next_table.memory);
	if (worker->table.memory) {
		uint32_t deaf[ENGINE_MAX_SHARDS];

		worker->engine->ops->work(worker->engine);
		HOLDS(worker->engine->ops->sample(worker->engine, deaf) <= ENGINE_MAX_SHARDS);
	}
	HOLDS(worker->engine->ops->waits(worker->engine, fds) <= ENGINE_MAX_SHARDS);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	const int before = lowest_free_fd();
	uint8_t message[SLUICE_MAX_MESSAGE_BYTES + 64];
	struct sluice_worker *worker;
	uint64_t sequence = 0;
	bool open = true;
	int ends[2];

	HOLDS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
	worker = open_worker(ends[0]);
	while (open && size > sizeof(struct described)) {
		struct described described;
		size_t count;

		memcpy(&described, input, sizeof(described));
		input += sizeof(described);
		size -= sizeof(described);
		count = described.bytes & 0x7f;
		/* The longest of all, and one that is too long. */
		if (count == 0x7f)
			count = sizeof(message);
		if (count > size)
			count = size;
		count = compose(&described, input, count, ++sequence, message);
		input += count;
		size -= count;
		if (!count || send_message(ends[1], message, count, &described))
			break;
		open = carry_out(worker, ends[1], sequence);
	}
	close_worker(worker);
	close(ends[0]);
	close(ends[1]);
	HOLDS(lowest_free_fd() == before);
	return 0;
}

int LLVMFuzzerInitialize(const int *argc, char ***argv)
{
	struct sluice_rule_record rule = { .input_ifindex = 1, .counter_index = 64 };
	const struct sluice_interface_record interface = { .ifindex = 1, .counter_index = 128 };

	(void)argc;
	(void)argv;
	offered[0] = sluice_counters_create(256);
	offered[1] = sluice_table_build(1, &rule, 1, NULL, 0, NULL, 0, &interface, 1, NULL);
	rule.counter_index = 1024;
	offered[2] = sluice_table_build(2, &rule, 1, NULL, 0, NULL, 0, NULL, 0, NULL);
	offered[3] = sluice_shard_state_create();
	offered[4] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	offered[5] = memfd_create("unsealed", MFD_CLOEXEC);
	offered[6] = open("/dev/null", O_RDWR | O_CLOEXEC);
	offered[7] = sluice_counters_create(8);
	for (int at = 0; at < OFFERED; at++)
		HOLDS(offered[at] >= 0);
	return 0;
}
