/* Workers' connections and their reports, as events on one pipe. */
#include "../src/channel.h"
#include "../src/shard_state.h"
#include "expect.h"
#include "peer.h"
#include "sluice.h"
#include "veth_pair.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHANNEL    "sluice-events-test"
#define WORKER_UID 4711u

static int pipe_fd;

static void start(void)
{
	pipe_fd = sluice_events_start(CHANNEL, WORKER_UID);
	if (pipe_fd < 0)
		give_up("events: %s", strerror(-pipe_fd));
}

static void stop(void)
{
	sluice_events_stop();
	sluice_close(pipe_fd);
}

static void expect_event(uint32_t kind, uint32_t connection, uint64_t a, uint64_t b)
{
	struct sluice_event event = next_event(pipe_fd);

	EXPECT_EQUAL(event.kind, kind);
	EXPECT_EQUAL(event.connection, connection);
	EXPECT_EQUAL(event.a, a);
	EXPECT_EQUAL(event.b, b);
}

static void a_worker_greets_acknowledges_fails_and_goes(void)
{
	const uint64_t invalid = (uint64_t)-EINVAL;
	int peer;
	uint32_t connection = peer_greet(CHANNEL, pipe_fd, &peer, 3);

	EXPECT(peer_report(peer, REPORT_ACK, 77, 0));
	EXPECT(peer_report(peer, REPORT_ACK, 78, invalid));
	EXPECT(peer_report(peer, REPORT_FAILED, invalid, 0));
	expect_event(SLUICE_EVENT_ACK, connection, 77, 0);
	expect_event(SLUICE_EVENT_ACK, connection, 78, invalid);
	expect_event(SLUICE_EVENT_FAILED, connection, invalid, 0);
	sluice_close(peer);
	expect_event(SLUICE_EVENT_GONE, connection, 0, 0);
}

static void a_connection_number_is_never_given_twice(void)
{
	uint32_t last = 0;

	for (int i = 0; i < 300; i++) {
		int peer;
		uint32_t connection = peer_greet(CHANNEL, pipe_fd, &peer, 0);

		EXPECT(connection > last);
		last = connection;
		sluice_close(peer);
		expect_event(SLUICE_EVENT_GONE, connection, 0, 0);
	}
}

static void a_command_arrives_with_its_descriptors(void)
{
	const int sent[] = { sluice_shard_state_create(), sluice_counters_create(8),
			     sluice_counters_create(16), sluice_counters_create(32) };
	struct sluice_message message = { 0 };
	uint32_t magic = 0;
	int peer, fds[4];
	uint32_t fd_count;
	const uint32_t connection = peer_greet(CHANNEL, pipe_fd, &peer, 0);

	EXPECT_EQUAL(send_command(connection, 5, sent, 4), 0);
	EXPECT_EQUAL(peer_receive(peer, &message, sizeof(message), fds, &fd_count),
		     sizeof(message));
	EXPECT_EQUAL(message.sequence, 5);
	EXPECT_EQUAL(fd_count, 4);
	EXPECT_EQUAL(pread(fds[0], &magic, sizeof(magic), 0), sizeof(magic));
	EXPECT_EQUAL(magic, SHARD_STATE_MAGIC);
	EXPECT_EQUAL(lseek(fds[3], 0, SEEK_END), 32 * 8);
	for (int i = 0; i < 4; i++) {
		sluice_close(fds[i]);
		sluice_close(sent[i]);
	}
	EXPECT_EQUAL(send_command(connection, 6, NULL, 0), 0);
	EXPECT_EQUAL(peer_receive(peer, &message, sizeof(message), fds, &fd_count),
		     sizeof(message));
	EXPECT_EQUAL(fd_count, 0);
	sluice_close(peer);
	expect_event(SLUICE_EVENT_GONE, connection, 0, 0);
}

static void bad_commands_are_refused(void)
{
	struct sluice_message message = { .bytes = sizeof(message) };
	static char long_message[SLUICE_MAX_MESSAGE_BYTES + 1];
	const int fds[5] = { 0 };
	int peer;
	const uint32_t connection = peer_greet(CHANNEL, pipe_fd, &peer, 0);

	EXPECT_EQUAL(sluice_channel_send(connection, NULL, 16, NULL, 0), -EINVAL);
	EXPECT_EQUAL(sluice_channel_send(connection, &message, 15, NULL, 0), -EINVAL);
	EXPECT_EQUAL(sluice_channel_send(connection, &message, 16, NULL, 1), -EINVAL);
	EXPECT_EQUAL(sluice_channel_send(connection, &message, 16, fds, 5), -EINVAL);
	EXPECT_EQUAL(sluice_channel_send(connection, long_message, sizeof(long_message), NULL, 0),
		     -EINVAL);
	message.bytes++;
	EXPECT_EQUAL(sluice_channel_send(connection, &message, 16, NULL, 0), -EINVAL);
	EXPECT_EQUAL(send_command(connection, 1, (const int[]){ -1 }, 1), -EBADF);
	EXPECT_EQUAL(send_command(0, 1, NULL, 0), -ENOTCONN);
	EXPECT_EQUAL(send_command(connection + 1, 1, NULL, 0), -ENOTCONN);
	sluice_close(peer);
	expect_event(SLUICE_EVENT_GONE, connection, 0, 0);
	EXPECT_EQUAL(send_command(connection, 1, NULL, 0), -ENOTCONN);
}

static void a_full_queue_says_so_and_loses_nothing(void)
{
	struct sluice_message message;
	int peer, fds[4], error = 0;
	uint32_t fd_count;
	uint64_t sent = 0;
	const uint32_t connection = peer_greet(CHANNEL, pipe_fd, &peer, 0);

	while (!error && sent < 1000000) {
		error = send_command(connection, sent, NULL, 0);
		sent += !error;
	}
	EXPECT_EQUAL(error, -EAGAIN);
	/* Enough for a host's commands in one go. */
	EXPECT(sent >= 1000);
	for (uint64_t i = 0; i < sent; i++) {
		EXPECT_EQUAL(peer_receive(peer, &message, sizeof(message), fds, &fd_count),
			     sizeof(message));
		EXPECT_EQUAL(message.sequence, i);
	}
	EXPECT_EQUAL(send_command(connection, sent, NULL, 0), 0);
	sluice_close(peer);
	expect_event(SLUICE_EVENT_GONE, connection, 0, 0);
}

static void disconnecting_ends_both_sides(void)
{
	struct sluice_message message;
	int peer, fds[4];
	uint32_t fd_count;
	const uint32_t connection = peer_greet(CHANNEL, pipe_fd, &peer, 0);

	EXPECT(peer_report(peer, REPORT_ACK, 1, 0));
	sluice_channel_disconnect(connection);
	expect_event(SLUICE_EVENT_ACK, connection, 1, 0);
	expect_event(SLUICE_EVENT_GONE, connection, 0, 0);
	EXPECT_EQUAL(peer_receive(peer, &message, sizeof(message), fds, &fd_count), 0);
	sluice_channel_disconnect(connection);
	sluice_close(peer);
}

/* ---- the pipe ---- */

static void a_reader_who_pauses_loses_nothing(void)
{
	int peer;
	const uint32_t connection = peer_greet(CHANNEL, pipe_fd, &peer, 0);
	const uint64_t sent = peer_fill(peer, pipe_fd);

	EXPECT(sent > 2048); /* the pipe's 64 KiB, and more */
	for (uint64_t i = 0; i < sent; i++)
		expect_event(SLUICE_EVENT_ACK, connection, i, 0);
	EXPECT(peer_report(peer, REPORT_ACK, sent, 0));
	expect_event(SLUICE_EVENT_ACK, connection, sent, 0);
	sluice_close(peer);
	expect_event(SLUICE_EVENT_GONE, connection, 0, 0);
}

static void a_dead_workers_connection_says_so_before_its_event_does(void)
{
	int dead, chatty;
	const uint32_t connection = peer_greet(CHANNEL, pipe_fd, &dead, 0);
	const uint32_t other = peer_greet(CHANNEL, pipe_fd, &chatty, 1);
	const uint64_t sent = peer_fill(chatty, pipe_fd);
	uint32_t gone = 0;

	/* The thread waits for the pipe: it can't know yet. */
	sluice_close(dead);
	EXPECT_EQUAL(send_command(connection, 1, NULL, 0), -ENOTCONN);
	sluice_close(chatty);
	for (uint64_t i = 0; i < sent + 2; i++) {
		const struct sluice_event event = next_event(pipe_fd);

		gone += event.kind == SLUICE_EVENT_GONE &&
			(event.connection == connection || event.connection == other);
	}
	EXPECT_EQUAL(gone, 2);
}

static void it_starts_once_and_stops_even_when_the_pipe_is_full(void)
{
	const unsigned before = count_descriptors();
	struct pollfd wait;
	char byte;
	int peer;

	EXPECT_EQUAL(sluice_events_start("another", 0), -EBUSY);
	(void)peer_greet(CHANNEL, pipe_fd, &peer, 0);
	(void)peer_fill(peer, pipe_fd);
	sluice_events_stop();
	EXPECT(peer_is_closed(peer));
	/* What was written can still be read, then the pipe ends. */
	wait = (struct pollfd){ .fd = pipe_fd, .events = POLLIN };
	EXPECT_EQUAL(poll(&wait, 1, 10000), 1);
	while (read(pipe_fd, &byte, 1) > 0)
		;
	EXPECT_EQUAL(read(pipe_fd, &byte, 1), 0);
	sluice_close(pipe_fd);
	sluice_events_stop();
	start();
	EXPECT_EQUAL(count_descriptors(), before);
}

static void a_taken_name_is_refused_and_nothing_stays_open(void)
{
	const unsigned before = count_descriptors();
	char too_long[200];
	const int other = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;
	socklen_t length;

	memset(too_long, 'x', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	stop();
	EXPECT_EQUAL(channel_address(CHANNEL, &address, &length), 0);
	EXPECT(bind(other, (struct sockaddr *)&address, length) == 0);
	EXPECT_EQUAL(sluice_events_start(CHANNEL, 0), -EADDRINUSE);
	sluice_close(other);
	EXPECT_EQUAL(sluice_events_start("", 0), -EINVAL);
	EXPECT_EQUAL(sluice_events_start(NULL, 0), -EINVAL);
	EXPECT_EQUAL(sluice_events_start(too_long, 0), -EINVAL);
	start();
	EXPECT_EQUAL(count_descriptors(), before);
}

int main(void)
{
	struct veth_pair pair;

	if (!veth_pair_possible()) {
		fputs("needs root to be several users\n", stderr);
		return EXIT_SKIPPED;
	}
	/* Abstract names live in the namespace: runs beside each other don't meet. */
	veth_pair_open(&pair);
	start();
	a_worker_greets_acknowledges_fails_and_goes();
	a_connection_number_is_never_given_twice();
	a_command_arrives_with_its_descriptors();
	bad_commands_are_refused();
	a_full_queue_says_so_and_loses_nothing();
	disconnecting_ends_both_sides();
	a_reader_who_pauses_loses_nothing();
	a_dead_workers_connection_says_so_before_its_event_does();
	it_starts_once_and_stops_even_when_the_pipe_is_full();
	a_taken_name_is_refused_and_nothing_stays_open();
	stop();
	return failures != 0;
}
