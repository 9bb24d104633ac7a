/*
 * One thread turns what happens into struct sluice_event on a pipe, so that an
 * event loop of any kind can wait for it with one descriptor.
 *
 *   listener ──┐
 *   workers  ──┼─ epoll ─▶ thread ─▶ pipe ─▶ supervisor
 *   rtnetlink ─┘
 *
 * Nothing is queued here. When the pipe is full the thread waits for the reader;
 * workers' reports then wait in their sockets, and rtnetlink overruns, which is
 * itself reported as LINKS.
 */
#include "channel.h"
#include "connections.h"
#include "event_pipe.h"
#include "life.h"
#include "link_watch.h"
#include "sluice.h"
#include "succession.h"
#include "time_slice.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The first change is reported at once; those of the next moments together, by one more event. */
#define LINKS_QUIET_MS     5
/* After accept failed for want of descriptors or memory. */
#define LISTENER_QUIET_MS  100
/* The kernel's shortest. */
#define READER_SLICE_NS    100000u
#define REPORTS_PER_TURN   64
#define CHANNEL_SEND_BYTES (1 << 20)

/* What epoll says is ready. Connections are told by their id, which has 32 bits. */
#define READY_STOP     (UINT64_C(1) << 32)
#define READY_LISTENER (UINT64_C(2) << 32)
#define READY_NETLINK  (UINT64_C(3) << 32)

/* A descriptor that epoll shows once, and again only after it was re-armed. */
struct source {
	int fd;
	uint64_t ready;
	int64_t rearm_at_ms; /* 0: armed */
};

static struct {
	bool running;
	pthread_t thread;
	uid_t worker_uid;
	int epoll, stop;
	struct source listener, netlink;
} events = { .epoll = -1, .stop = -1, .listener.fd = -1, .netlink.fd = -1 };

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* False when the thread is to end: asked to, or nobody reads any more. */
static bool emit(struct sluice_event *event)
{
	return event_pipe_put(event, events.stop);
}

static int arm(const struct source *source, int operation)
{
	struct epoll_event interest = {
		.events = EPOLLIN | EPOLLONESHOT,
		.data.u64 = source->ready,
	};

	return epoll_ctl(events.epoll, operation, source->fd, &interest) ? -errno : 0;
}

/* ---- rtnetlink ---- */

static bool on_netlink(void)
{
	struct sluice_event event = { .kind = SLUICE_EVENT_LINKS };

	events.netlink.rearm_at_ms = now_ms() + LINKS_QUIET_MS;
	return !link_watch_drain(events.netlink.fd) || emit(&event);
}

/* ---- workers ---- */

static void admit_worker(int fd)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);
	int bytes = CHANNEL_SEND_BYTES;
	struct epoll_event interest = { .events = EPOLLIN };
	uint32_t id;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) ||
	    (peer.uid != events.worker_uid && peer.uid != 0)) {
		close(fd);
		return;
	}
	/* Room for a whole host's commands at once; the default holds about a hundred. */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	id = connections_add(fd, peer.pid);
	if (!id)
		return;
	interest.data.u64 = id;
	if (epoll_ctl(events.epoll, EPOLL_CTL_ADD, fd, &interest))
		connections_remove(id);
}

static void on_listener(void)
{
	int fd = accept4(events.listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0)
		admit_worker(fd);
	else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		events.listener.rearm_at_ms = now_ms() + LISTENER_QUIET_MS;
	if (!events.listener.rearm_at_ms)
		(void)arm(&events.listener, EPOLL_CTL_MOD);
}

static bool end_connection(const struct connection *connection)
{
	struct sluice_event event = {
		.kind = SLUICE_EVENT_GONE,
		.connection = connection->id,
		.pid = (uint32_t)connection->pid,
	};

	connections_remove(connection->id);
	/* Whoever never said HELLO was never announced. */
	return !connection->greeted || emit(&event);
}

/* The event for a report; kind 0 when it is not one, or comes out of turn. */
static struct sluice_event translate(struct connection *connection, const struct report *report)
{
	struct sluice_event event = {
		.connection = connection->id,
		.pid = (uint32_t)connection->pid,
		.a = report->a,
		.b = report->b,
	};

	if (report->bytes != sizeof(*report) ||
	    connection->greeted != (report->kind != REPORT_HELLO))
		return event;
	if (report->kind == REPORT_HELLO)
		event.kind = SLUICE_EVENT_HELLO;
	else if (report->kind == REPORT_ACK)
		event.kind = SLUICE_EVENT_ACK;
	else if (report->kind == REPORT_FAILED)
		event.kind = SLUICE_EVENT_FAILED;
	else if (report->kind == REPORT_HOLDS)
		event.kind = SLUICE_EVENT_HOLDS;
	else if (report->kind == REPORT_DEAF)
		event.kind = SLUICE_EVENT_DEAF;
	return event;
}

static bool on_connection(uint32_t id)
{
	struct connection connection;

	if (!connections_find(id, &connection))
		return true;
	/* Bounded, so that one chatty worker does not keep the others waiting. */
	for (int i = 0; i < REPORTS_PER_TURN; i++) {
		struct report report;
		struct sluice_event event;
		/* Without room for control messages, descriptors that a worker sends are closed. */
		ssize_t bytes =
			recv(connection.fd, &report, sizeof(report), MSG_DONTWAIT | MSG_TRUNC);

		if (bytes < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (bytes != sizeof(report))
			return end_connection(&connection);
		event = translate(&connection, &report);
		if (!event.kind)
			return end_connection(&connection);
		if (event.kind == SLUICE_EVENT_HELLO) {
			connection.greeted = true;
			connections_set_greeted(id);
		}
		if (!emit(&event))
			return false;
	}
	return true;
}

int sluice_channel_listen(const char *channel_name)
{
	struct sockaddr_un address;
	socklen_t length;
	int error = channel_address(channel_name, &address, &length);
	int fd;

	if (error)
		return error;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, length) || listen(fd, SLUICE_MAX_WORKERS)) {
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

/* ---- the thread ---- */

static bool handle(uint64_t ready)
{
	if (ready == READY_STOP)
		return false;
	if (ready == READY_NETLINK)
		return on_netlink();
	if (ready == READY_LISTENER) {
		on_listener();
		return true;
	}
	return on_connection((uint32_t)ready);
}

/* Re-arms when its quiet time is over; the milliseconds left otherwise, -1 when it is armed. */
static int rearm_when_due(struct source *source, int64_t now)
{
	if (!source->rearm_at_ms)
		return -1;
	if (now < source->rearm_at_ms)
		return (int)(source->rearm_at_ms - now);
	source->rearm_at_ms = 0;
	(void)arm(source, EPOLL_CTL_MOD);
	return -1;
}

static int next_timeout_ms(void)
{
	int64_t now = now_ms();
	int netlink = rearm_when_due(&events.netlink, now);
	int listener = rearm_when_due(&events.listener, now);

	if (netlink < 0 || listener < 0)
		return netlink < 0 ? listener : netlink;
	return netlink < listener ? netlink : listener;
}

static void *run(void *unused)
{
	bool going_on = true;

	(void)unused;
	/* A wish: nothing depends on it. */
	(void)time_run_at_once();
	while (going_on) {
		struct epoll_event ready[16];
		int count = epoll_wait(events.epoll, ready, 16, next_timeout_ms());

		for (int i = 0; i < count && going_on; i++)
			going_on = handle(ready[i].data.u64);
	}
	connections_remove_all();
	return NULL;
}

static void close_all(void)
{
	int *const fds[] = { &events.epoll, &events.stop, &events.listener.fd, &events.netlink.fd };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	event_pipe_close();
}

static int open_all(int listener)
{
	struct epoll_event interest = { .events = EPOLLIN, .data.u64 = READY_STOP };
	int error;

	events.listener = (struct source){ .fd = listener, .ready = READY_LISTENER };
	events.netlink = (struct source){ .fd = link_watch_open(), .ready = READY_NETLINK };
	if (events.netlink.fd < 0)
		return events.netlink.fd;
	events.epoll = epoll_create1(EPOLL_CLOEXEC);
	events.stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (events.epoll < 0 || events.stop < 0 ||
	    epoll_ctl(events.epoll, EPOLL_CTL_ADD, events.stop, &interest))
		return -errno;
	error = arm(&events.listener, EPOLL_CTL_ADD);
	return error ? error : arm(&events.netlink, EPOLL_CTL_ADD);
}

/* Every signal belongs to the caller's threads. */
static int start_thread(void)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&events.thread, NULL, run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!error)
		pthread_setname_np(events.thread, "sluice-events");
	return -error;
}

int sluice_events_start(const char *channel_name, uint32_t worker_uid)
{
	int listener;

	if (events.running)
		return -EBUSY;
	listener = sluice_channel_listen(channel_name);
	return listener < 0 ? listener : sluice_events_start_on(listener, worker_uid);
}

int sluice_events_start_on(int listener, uint32_t worker_uid)
{
	int reader = -1;
	int error;

	if (events.running) {
		close(listener);
		return -EBUSY;
	}
	events.worker_uid = worker_uid;
	error = open_all(listener);
	if (!error)
		error = event_pipe_open(&reader);
	if (!error)
		error = start_thread();
	if (!error) {
		events.running = true;
		/* Whoever reads the events is waited for by packets: a dead worker's shards are handed over then. */
		(void)time_slice_set(READER_SLICE_NS);
		return reader;
	}
	close_all();
	if (reader >= 0)
		close(reader);
	return error;
}

void sluice_events_stop(void)
{
	const uint64_t one = 1;

	if (!events.running)
		return;
	life_watch_stop();
	succession_forget_all();
	/* An eventfd takes it whole; it can't be full. */
	(void)!write(events.stop, &one, sizeof(one));
	pthread_join(events.thread, NULL);
	close_all();
	events.running = false;
}
