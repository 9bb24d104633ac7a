/* Who is heard on the channel, and what ends a connection. */
#include "../src/channel.h"
#include "../src/connections.h"
#include "expect.h"
#include "peer.h"
#include "sluice.h"
#include "veth_pair.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHANNEL    "sluice-admission-test"
#define WORKER_UID 4711u
#define OTHER_UID  4712u

static int pipe_fd;

static void expect_event(uint32_t kind, uint32_t connection, uint64_t a, uint64_t b)
{
	struct sluice_event event = next_event(pipe_fd);

	EXPECT_EQUAL(event.kind, kind);
	EXPECT_EQUAL(event.connection, connection);
	EXPECT_EQUAL(event.a, a);
	EXPECT_EQUAL(event.b, b);
}

/* Connects as that user in a child: 0 when the greeting was taken and kept, 1 when closed. */
static int greet_as(uid_t uid)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct sluice_message message;
		int fds[4], peer;
		uint32_t fd_count;

		if (setresuid(uid, uid, uid))
			_exit(2);
		peer = peer_connect(CHANNEL);
		(void)peer_report(peer, REPORT_HELLO, 9, SLUICE_ABI_VERSION);
		/* Whoever is accepted is sent a command; whoever is not reads the end. */
		_exit(peer_receive(peer, &message, sizeof(message), fds, &fd_count) <= 0);
	}
	if (uid != OTHER_UID) {
		struct sluice_event event = next_event(pipe_fd);

		EXPECT_EQUAL(event.kind, SLUICE_EVENT_HELLO);
		EXPECT_EQUAL(event.pid, child);
		EXPECT_EQUAL(send_command(event.connection, 1, NULL, 0), 0);
		expect_event(SLUICE_EVENT_GONE, event.connection, 0, 0);
	}
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		give_up("child: status %d", status);
	return WEXITSTATUS(status);
}

static void only_the_workers_uid_and_root_are_heard(void)
{
	int peer;
	uint32_t connection;

	EXPECT_EQUAL(greet_as(WORKER_UID), 0);
	EXPECT_EQUAL(greet_as(OTHER_UID), 1);
	/* The next event is ours: nothing was said of the stranger. */
	connection = peer_greet(CHANNEL, pipe_fd, &peer, 1);
	sluice_close(peer);
	expect_event(SLUICE_EVENT_GONE, connection, 0, 0);
}

static void who_does_not_greet_first_is_never_announced(void)
{
	struct report report = { .kind = REPORT_HELLO, .bytes = sizeof(report) };
	int peer = peer_connect(CHANNEL);
	uint32_t connection;

	EXPECT(peer_report(peer, REPORT_ACK, 1, 0));
	EXPECT(peer_is_closed(peer));
	peer = peer_connect(CHANNEL);
	EXPECT_EQUAL(send(peer, &report, sizeof(report) - 1, 0), sizeof(report) - 1);
	EXPECT(peer_is_closed(peer));
	peer = peer_connect(CHANNEL);
	report.bytes++;
	EXPECT_EQUAL(send(peer, &report, sizeof(report), 0), sizeof(report));
	EXPECT(peer_is_closed(peer));

	connection = peer_greet(CHANNEL, pipe_fd, &peer, 0);
	sluice_close(peer);
	expect_event(SLUICE_EVENT_GONE, connection, 0, 0);
}

static void who_speaks_nonsense_later_is_gone(void)
{
	static const char longer[sizeof(struct report) + 1];
	int peer;
	uint32_t connection = peer_greet(CHANNEL, pipe_fd, &peer, 0);

	EXPECT_EQUAL(send(peer, longer, sizeof(longer), 0), sizeof(longer));
	expect_event(SLUICE_EVENT_GONE, connection, 0, 0);
	EXPECT(peer_is_closed(peer));
	connection = peer_greet(CHANNEL, pipe_fd, &peer, 0);
	EXPECT(peer_report(peer, REPORT_HELLO, 0, 0));
	expect_event(SLUICE_EVENT_GONE, connection, 0, 0);
	EXPECT(peer_is_closed(peer));
}

static void descriptors_from_a_worker_are_not_kept(void)
{
	struct report report = { .kind = REPORT_ACK, .bytes = sizeof(report) };
	struct iovec part = { .iov_base = &report, .iov_len = sizeof(report) };
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr envelope = { .msg_iov = &part,
				   .msg_iovlen = 1,
				   .msg_control = &control,
				   .msg_controllen = sizeof(control) };
	int peer;
	const uint32_t connection = peer_greet(CHANNEL, pipe_fd, &peer, 0);
	const unsigned before = count_descriptors();

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &peer, sizeof(int));
	EXPECT_EQUAL(sendmsg(peer, &envelope, 0), sizeof(report));
	expect_event(SLUICE_EVENT_ACK, connection, 0, 0);
	EXPECT_EQUAL(count_descriptors(), before);
	sluice_close(peer);
	expect_event(SLUICE_EVENT_GONE, connection, 0, 0);
}

static void more_connections_than_places_are_closed(void)
{
	int peers[MAX_CONNECTIONS];
	int one_more;

	for (uint32_t i = 0; i < MAX_CONNECTIONS; i++)
		(void)peer_greet(CHANNEL, pipe_fd, &peers[i], i);
	one_more = peer_connect(CHANNEL);
	EXPECT(peer_is_closed(one_more));
	for (uint32_t i = 0; i < MAX_CONNECTIONS; i++)
		sluice_close(peers[i]);
	for (uint32_t i = 0; i < MAX_CONNECTIONS; i++)
		EXPECT_EQUAL(next_event(pipe_fd).kind, SLUICE_EVENT_GONE);
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
	pipe_fd = sluice_events_start(CHANNEL, WORKER_UID);
	if (pipe_fd < 0)
		give_up("events: %s", strerror(-pipe_fd));
	only_the_workers_uid_and_root_are_heard();
	who_does_not_greet_first_is_never_announced();
	who_speaks_nonsense_later_is_gone();
	descriptors_from_a_worker_are_not_kept();
	more_connections_than_places_are_closed();
	sluice_events_stop();
	sluice_close(pipe_fd);
	return failures != 0;
}
