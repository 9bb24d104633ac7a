/* Changes of links and addresses become LINKS events: at once, and few. */
#include "../src/channel.h"
#include "expect.h"
#include "peer.h"
#include "sluice.h"
#include "veth_pair.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHANNEL    "sluice-link-events-test"
#define SILENCE_MS 100
/* In which nothing comes of itself. */
#define QUIET_MS   1000

static int pipe_fd;

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Reads until nothing came for a while; how many. */
static int take_all(void)
{
	struct pollfd wait = { .fd = pipe_fd, .events = POLLIN };
	struct sluice_event event;
	int taken = 0;

	while (poll(&wait, 1, SILENCE_MS) == 1) {
		EXPECT_EQUAL(read(pipe_fd, &event, sizeof(event)), sizeof(event));
		EXPECT_EQUAL(event.kind, SLUICE_EVENT_LINKS);
		taken++;
	}
	return taken;
}

static void expect_links_after(const char *command)
{
	(void)take_all();
	ip("%s", command);
	EXPECT_EQUAL(next_links_event(pipe_fd).kind, SLUICE_EVENT_LINKS);
}

static void each_kind_of_change_is_told(void)
{
	expect_links_after("link add x0 type veth peer name x1");
	expect_links_after("link set x0 up");
	expect_links_after("link set x1 up");
	expect_links_after("addr add 10.9.0.1/24 dev x0");
	expect_links_after("addr del 10.9.0.1/24 dev x0");
	expect_links_after("link set x0 mtu 1400");
	expect_links_after("link set x1 down");
	expect_links_after("link set x1 name y1");
	expect_links_after("link del x0");
}

/* What was done before may be told late. */
static void a_quiet_host_says_nothing(void)
{
	const int64_t limit_ms = now_ms() + 30000;
	struct pollfd wait = { .fd = pipe_fd, .events = POLLIN };

	while (poll(&wait, 1, QUIET_MS) == 1 && now_ms() < limit_ms)
		(void)any_event(pipe_fd);
	EXPECT(now_ms() < limit_ms);
}

static char *many_changes(int count)
{
	char *text = calloc((size_t)count, 64);
	size_t used = 0;

	for (int i = 0; i < count; i++)
		used += (size_t)sprintf(text + used, "link set lo mtu %d\n", 60000 + i % 2);
	return text;
}

static void a_burst_of_changes_is_few_events(void)
{
	enum { CHANGES = 1000 };
	char *text = many_changes(CHANGES);
	int64_t began;
	int taken;

	/* The first is told at once; what follows it, however late that is, by one more at least, and one in 5 ms at most. */
	expect_links_after("link set lo mtu 65000");
	began = now_ms();
	ip_batch(text);
	taken = 1 + (next_links_event(pipe_fd).kind == SLUICE_EVENT_LINKS) + take_all();
	EXPECT(taken >= 2);
	EXPECT(taken <= 2 + (now_ms() - began) / 5);
	free(text);
}

/* While nobody reads, changes overrun the netlink queue: that must still be told. */
static void an_overrun_is_told_too(void)
{
	char *text = many_changes(3000);
	const int peer = peer_connect(CHANNEL);
	uint64_t filled, acks = 0, links = 0;

	EXPECT(peer_report(peer, REPORT_HELLO, 0, SLUICE_ABI_VERSION));
	EXPECT_EQUAL(next_event(pipe_fd).kind, SLUICE_EVENT_HELLO);
	filled = peer_fill(peer, pipe_fd);
	ip_batch(text);
	while (acks < filled || links == 0) {
		const struct sluice_event event = any_event(pipe_fd);

		if (event.kind == 0)
			break;
		links += event.kind == SLUICE_EVENT_LINKS;
		acks += event.kind == SLUICE_EVENT_ACK && event.a == acks;
	}
	EXPECT_EQUAL(acks, filled);
	EXPECT(links > 0);
	sluice_close(peer);
	EXPECT_EQUAL(next_event(pipe_fd).kind, SLUICE_EVENT_GONE);
	(void)take_all();
	expect_links_after("link set lo mtu 65536");
	free(text);
}

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
	caught = number;
}

/* With every thread of ours but the events' blocking it, a signal stays pending. */
static void the_thread_takes_no_signal(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t set, pending;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaction(SIGUSR1, &action, NULL);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	kill(getpid(), SIGUSR1);
	expect_links_after("link set lo mtu 60000");
	EXPECT_EQUAL(caught, 0);
	sigpending(&pending);
	EXPECT(sigismember(&pending, SIGUSR1));
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	EXPECT_EQUAL(caught, SIGUSR1);
}

int main(void)
{
	struct veth_pair pair;

	if (!veth_pair_possible()) {
		fputs("needs root for network namespaces\n", stderr);
		return EXIT_SKIPPED;
	}
	veth_pair_open(&pair);
	pipe_fd = sluice_events_start(CHANNEL, 0);
	if (pipe_fd < 0)
		give_up("events: %s", strerror(-pipe_fd));
	each_kind_of_change_is_told();
	a_quiet_host_says_nothing();
	a_burst_of_changes_is_few_events();
	an_overrun_is_told_too();
	the_thread_takes_no_signal();
	sluice_events_stop();
	sluice_close(pipe_fd);
	return failures != 0;
}
