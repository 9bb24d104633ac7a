#include "receiver.h"

#include "arguments.h"
#include "receive_socket.h"
#include "stream.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S          UINT64_C(1000000000)
#define NS_PER_MS         UINT64_C(1000000)
#define BATCH_DATAGRAMS   64u
#define EVENTS_MAX        256
#define BUFFER_BYTES_ALL  (512u * 1024 * 1024) /* over all destinations */
#define BUFFER_BYTES_MAX  (64u * 1024 * 1024)
#define BUFFER_BYTES_MIN  (2u * 1024 * 1024)
#define LINGER_SILENCE_NS (200 * NS_PER_MS)
#define LINGER_MAX_NS     (5 * NS_PER_S) /* others may go on sending to the same destination */
#define PROGRESS_NS       NS_PER_S
#define HINT_NS           (5 * NS_PER_S)
#define SIGNAL_EVENT      UINT32_MAX

/* One byte more than a datagram can have, rounded so that slots do not start at the same cache set. */
#define SLOT_BYTES (STREAM_PAYLOAD_BYTES_MAX + 1 + 2140)
_Static_assert(SLOT_BYTES % 64 == 0 && SLOT_BYTES % 4096 != 0, "slots spread over cache sets");

struct batch {
	struct mmsghdr messages[BATCH_DATAGRAMS];
	struct iovec vectors[BATCH_DATAGRAMS];
	union socket_address sources[BATCH_DATAGRAMS];
	_Alignas(struct cmsghdr) uint8_t control[BATCH_DATAGRAMS][RECEIVE_CONTROL_BYTES];
	_Alignas(64) uint8_t payloads[BATCH_DATAGRAMS][SLOT_BYTES];
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void *allocate(size_t count, size_t bytes)
{
	void *memory = calloc(count, bytes);

	if (!memory)
		fail(EXIT_REFUSED, "out of memory: ask for fewer streams");
	return memory;
}

/* A descriptor per destination may be more than the soft limit of 1,024. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void watch(const struct receiver *receiver, int fd, uint32_t name)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = name };

	if (epoll_ctl(receiver->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		fail(EXIT_REFUSED, "cannot watch a socket: %s", strerror(errno));
}

static void open_signals(struct receiver *receiver)
{
	sigset_t ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	receiver->signal_fd = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
	if (receiver->signal_fd < 0)
		fail(EXIT_REFUSED, "cannot watch signals: %s", strerror(errno));
	watch(receiver, receiver->signal_fd, SIGNAL_EVENT);
}

static void prepare_batch(struct batch *batch)
{
	for (unsigned slot = 0; slot < BATCH_DATAGRAMS; slot++) {
		batch->vectors[slot] =
			(struct iovec){ .iov_base = batch->payloads[slot], .iov_len = SLOT_BYTES };
		batch->messages[slot].msg_hdr = (struct msghdr){
			.msg_name = &batch->sources[slot],
			.msg_iov = &batch->vectors[slot],
			.msg_iovlen = 1,
			.msg_control = batch->control[slot],
		};
	}
}

void receiver_open(struct receiver *receiver, const struct receiver_settings *settings)
{
	const unsigned destinations = settings->destinations;
	unsigned buffer_bytes = BUFFER_BYTES_ALL / destinations;

	if (buffer_bytes > BUFFER_BYTES_MAX)
		buffer_bytes = BUFFER_BYTES_MAX;
	if (buffer_bytes < BUFFER_BYTES_MIN)
		buffer_bytes = BUFFER_BYTES_MIN;
	*receiver = (struct receiver){ .settings = *settings };
	receiver->sockets = allocate(destinations, sizeof(*receiver->sockets));
	receiver->tallies = allocate(destinations, sizeof(*receiver->tallies));
	receiver->batch = aligned_alloc(64, sizeof(*receiver->batch));
	if (!receiver->batch)
		fail(EXIT_REFUSED, "out of memory: close other programs");
	prepare_batch(receiver->batch);
	raise_descriptor_limit();
	receiver->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (receiver->epoll_fd < 0)
		fail(EXIT_REFUSED, "cannot make an epoll: %s", strerror(errno));
	open_signals(receiver);
	for (unsigned index = 0; index < destinations; index++) {
		const union socket_address destination = endpoint_destination(&settings->in, index);

		receiver->tallies[index].stream = settings->copies ? 0 : index;
		receiver->sockets[index] = receive_socket_open(
			&settings->in, &destination, &settings->source, (int)buffer_bytes);
		if (settings->merged)
			receive_socket_take_merged(receiver->sockets[index]);
		if (settings->sample > 1)
			receive_socket_sample(receiver->sockets[index], settings->sample);
		watch(receiver, receiver->sockets[index], index);
	}
}

/* One message, which is one datagram unless the kernel merged several. */
static void tally_message(struct tally *tally, const uint8_t *payload, size_t bytes,
			  const struct arrival *arrival)
{
	const size_t segment_bytes = arrival->segment_bytes ? arrival->segment_bytes : bytes;
	size_t offset = 0;

	do {
		const size_t left = bytes - offset;

		tally_datagram(tally, payload + offset, left < segment_bytes ? left : segment_bytes,
			       arrival);
		offset += segment_bytes;
	} while (offset < bytes);
}

static void tally_batch(struct tally *tally, struct batch *batch, unsigned datagrams)
{
	/* Where the kernel says nothing of the time. */
	const uint64_t now_ns = clock_ns(CLOCK_REALTIME);
	struct arrival arrival = { 0 };

	for (unsigned slot = 0; slot < datagrams; slot++) {
		struct msghdr *message = &batch->messages[slot].msg_hdr;

		arrival.at_ns = now_ns;
		arrival.source = batch->sources[slot];
		receive_socket_read_control(message, &arrival);
		tally_message(tally, batch->payloads[slot], batch->messages[slot].msg_len,
			      &arrival);
	}
}

/*
 * Takes one batch from one destination, so that a busy one does not starve the others. Returns how
 * many datagrams that were, or −errno.
 */
static int receive_batch(struct receiver *receiver, unsigned index)
{
	struct batch *batch = receiver->batch;
	struct tally *tally = &receiver->tallies[index];
	const uint64_t expect = receiver->settings.expect;
	const uint64_t before = tally_distinct(tally);

	/* The kernel overwrites these lengths with what it has used. */
	for (unsigned slot = 0; slot < BATCH_DATAGRAMS; slot++) {
		batch->messages[slot].msg_hdr.msg_namelen = sizeof(batch->sources[slot]);
		batch->messages[slot].msg_hdr.msg_controllen = RECEIVE_CONTROL_BYTES;
	}

	const int datagrams = recvmmsg(receiver->sockets[index], batch->messages, BATCH_DATAGRAMS,
				       MSG_DONTWAIT, NULL);

	if (datagrams < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	tally_batch(tally, batch, (unsigned)datagrams);
	receiver->last_arrival_ns = clock_ns(CLOCK_MONOTONIC);
	if (!receiver->first_arrival_ns)
		receiver->first_arrival_ns = receiver->last_arrival_ns;
	if (expect && before < expect && tally_distinct(tally) >= expect &&
	    ++receiver->complete == receiver->settings.destinations)
		receiver->complete_ns = receiver->last_arrival_ns;
	return datagrams;
}

struct deadline {
	uint64_t at_ns;
	enum receiver_end end;
};

static void take_sooner(struct deadline *soonest, uint64_t at_ns, enum receiver_end end)
{
	if (at_ns < soonest->at_ns)
		*soonest = (struct deadline){ at_ns, end };
}

/* What ends the run next if nothing more arrives. */
static struct deadline next_deadline(const struct receiver *receiver)
{
	const struct receiver_settings *settings = &receiver->settings;
	struct deadline soonest = { UINT64_MAX, RECEIVER_RUNNING };

	if (receiver->complete_ns) {
		take_sooner(&soonest, receiver->last_arrival_ns + LINGER_SILENCE_NS,
			    RECEIVER_EXPECTED);
		take_sooner(&soonest, receiver->complete_ns + LINGER_MAX_NS, RECEIVER_EXPECTED);
	}
	if (settings->duration_ns)
		take_sooner(&soonest, receiver->started_ns + settings->duration_ns,
			    RECEIVER_DURATION);
	if (settings->idle_ns && receiver->first_arrival_ns)
		take_sooner(&soonest, receiver->last_arrival_ns + settings->idle_ns, RECEIVER_IDLE);
	return soonest;
}

static void show_progress(const struct receiver *receiver, uint64_t now_ns)
{
	static uint64_t last_ns;
	static uint64_t last_packets;
	uint64_t packets = 0;

	if (now_ns - last_ns < PROGRESS_NS)
		return;
	for (unsigned index = 0; index < receiver->settings.destinations; index++)
		packets += receiver->tallies[index].received_packets;
	if (last_ns)
		fprintf(stderr, "\rreceived %" PRIu64 " datagrams, %.0f/s \033[K", packets,
			(double)(packets - last_packets) * (double)NS_PER_S /
				(double)(now_ns - last_ns));
	last_ns = now_ns;
	last_packets = packets;
}

static bool may_hint(const struct receiver *receiver)
{
	return !receiver->first_arrival_ns && !receiver->hinted;
}

/* Nothing at all is mostly a matter of where and when one listens. */
void receiver_hint_at_silence(struct receiver *receiver)
{
	if (!may_hint(receiver))
		return;
	receiver->hinted = true;
	fprintf(stderr,
		"%snothing came%s: is the sender on, is this the right interface? "
		"A relay host does not hear the groups it sends to\n",
		receiver->settings.progress ? "\r\033[K" : "",
		receiver->end == RECEIVER_RUNNING ? " yet" : "");
}

static int wait_ms(const struct receiver *receiver, uint64_t now_ns)
{
	uint64_t until_ns = next_deadline(receiver).at_ns;

	if (may_hint(receiver) && until_ns > receiver->started_ns + HINT_NS)
		until_ns = receiver->started_ns + HINT_NS;
	if (receiver->settings.progress && until_ns > now_ns + PROGRESS_NS)
		until_ns = now_ns + PROGRESS_NS;
	if (until_ns == UINT64_MAX)
		return -1;
	if (until_ns <= now_ns)
		return 0;

	const uint64_t ms = (until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;

	return ms > 1000000 ? 1000000 : (int)ms;
}

int receiver_run(struct receiver *receiver)
{
	struct epoll_event events[EVENTS_MAX];
	int result = 0;

	receiver->started_ns = clock_ns(CLOCK_MONOTONIC);
	while (receiver->end == RECEIVER_RUNNING && result >= 0) {
		const int ready = epoll_wait(receiver->epoll_fd, events, EVENTS_MAX,
					     wait_ms(receiver, clock_ns(CLOCK_MONOTONIC)));

		if (ready < 0 && errno != EINTR)
			return -errno;
		for (int event = 0; event < ready && result >= 0; event++) {
			if (events[event].data.u32 == SIGNAL_EVENT)
				receiver->end = RECEIVER_SIGNAL;
			else
				result = receive_batch(receiver, events[event].data.u32);
		}

		const uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
		const struct deadline deadline = next_deadline(receiver);

		if (receiver->end == RECEIVER_RUNNING && now_ns >= deadline.at_ns)
			receiver->end = deadline.end;
		if (receiver->end == RECEIVER_RUNNING && now_ns >= receiver->started_ns + HINT_NS)
			receiver_hint_at_silence(receiver);
		if (receiver->settings.progress)
			show_progress(receiver, now_ns);
	}
	if (receiver->settings.progress)
		fputs("\r\033[K", stderr);
	return result < 0 ? result : 0;
}

uint64_t receiver_drops(const struct receiver *receiver, unsigned destination)
{
	return receive_socket_drops(receiver->sockets[destination]);
}

void receiver_close(struct receiver *receiver)
{
	for (unsigned index = 0; index < receiver->settings.destinations; index++)
		close(receiver->sockets[index]);
	close(receiver->signal_fd);
	close(receiver->epoll_fd);
	free(receiver->sockets);
	free(receiver->tallies);
	free(receiver->batch);
}
