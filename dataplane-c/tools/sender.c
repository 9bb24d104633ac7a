#include "sender.h"

#include "arguments.h"
#include "send_socket.h"
#include "stream.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGES_MAX  64u
#define SEGMENTS_MAX  64u     /* UDP_MAX_SEGMENTS before Linux 6.9 */
#define BATCH_BYTES   262144u /* stays in the second-level cache between filling and copying */
#define STAMP_MAX     32u     /* datagrams that are given one time, before the first is sent */
#define POLL_MS       10      /* how late a stop is noticed while the socket buffer is full */
#define FULL_QUEUE_NS 50000   /* a full qdisc has no event to wait for */

struct sender {
	struct sender_settings settings;
	struct sender_counts counts;
	const volatile sig_atomic_t *stop;
	int fd;
	unsigned segments_max; /* datagrams per message; 1 = no UDP_SEGMENT */
	unsigned queued;       /* messages */
	size_t queued_bytes;
	size_t batch_bytes;
	uint8_t *payloads; /* batch_bytes, message after message */
	union socket_address *destinations;
	struct mmsghdr messages[MESSAGES_MAX];
	struct iovec payload_of[MESSAGES_MAX];
};

static uint64_t realtime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

struct sender *sender_open(const struct sender_settings *settings,
			   const volatile sig_atomic_t *stop)
{
	struct sender *sender = calloc(1, sizeof(*sender));
	const unsigned fitting = (unsigned)(STREAM_PAYLOAD_BYTES_MAX / settings->payload_bytes);

	if (!sender)
		fail(EXIT_REFUSED, "out of memory: close other programs");
	sender->settings = *settings;
	sender->stop = stop;
	sender->fd = send_socket_open(settings);
	sender->segments_max = 1;
	if (settings->segment && settings->burst > 1 && fitting > 1 &&
	    send_socket_segment(sender->fd, settings))
		sender->segments_max = fitting < SEGMENTS_MAX ? fitting : SEGMENTS_MAX;
	sender->batch_bytes = BATCH_BYTES;
	sender->payloads = malloc(sender->batch_bytes);
	sender->destinations = calloc(settings->streams, sizeof(*sender->destinations));
	if (!sender->payloads || !sender->destinations)
		fail(EXIT_REFUSED, "out of memory: ask for fewer streams");
	for (unsigned stream = 0; stream < settings->streams; stream++)
		sender->destinations[stream] = endpoint_destination(&settings->to, stream);
	return sender;
}

int sender_queue(struct sender *sender, unsigned stream, uint64_t sequence, unsigned count,
		 bool *flushed)
{
	const size_t size = sender->settings.payload_bytes;

	while (count > 0) {
		const unsigned datagrams = count < sender->segments_max ? count
									: sender->segments_max;

		if (sender->queued == MESSAGES_MAX ||
		    sender->queued_bytes + datagrams * size > sender->batch_bytes) {
			const int result = sender_flush(sender);

			if (result < 0)
				return result;
			*flushed = true;
		}

		uint8_t *payload = sender->payloads + sender->queued_bytes;
		struct msghdr *message = &sender->messages[sender->queued].msg_hdr;

		for (unsigned datagram = 0; datagram < datagrams; datagram++)
			stream_payload_write(payload + datagram * size, size, stream,
					     sequence + datagram);
		sender->payload_of[sender->queued] =
			(struct iovec){ .iov_base = payload, .iov_len = datagrams * size };
		*message = (struct msghdr){
			.msg_name = &sender->destinations[stream],
			.msg_namelen = address_bytes(&sender->destinations[stream]),
			.msg_iov = &sender->payload_of[sender->queued],
			.msg_iovlen = 1,
		};
		sender->queued++;
		sender->queued_bytes += datagrams * size;
		sequence += datagrams;
		count -= datagrams;
	}
	return 0;
}

/*
 * Waits or repairs what made the kernel refuse a send, then returns 0: try again. Returns −errno if
 * trying again would not help.
 */
static int recover(struct sender *sender, int error)
{
	struct pollfd writable = { .fd = sender->fd, .events = POLLOUT };
	const struct timespec pause = { .tv_nsec = FULL_QUEUE_NS };

	switch (error) {
	case EINTR:
		return 0;
	case EAGAIN:
		sender->counts.retries++;
		poll(&writable, 1, POLL_MS);
		return 0;
	case ENOBUFS:
	case ENOMEM:
		sender->counts.retries++;
		nanosleep(&pause, NULL);
		return 0;
	case EMSGSIZE:
		return -error;
	default:
		/* An ICMP error of an earlier datagram is reported once, in place of a send. */
		if (send_socket_drain_errors(sender->fd) == 0)
			return -error;
		sender->counts.retries++;
		return 0;
	}
}

static void count_sent(struct sender *sender, size_t bytes)
{
	sender->counts.sent_packets += bytes / sender->settings.payload_bytes;
	sender->counts.sent_bytes += bytes;
}

/* Sends the datagrams of one message one by one. */
static int send_apart(struct sender *sender, const struct msghdr *message)
{
	const size_t size = sender->settings.payload_bytes;
	const uint8_t *payload = message->msg_iov->iov_base;
	size_t offset = 0;

	while (offset < message->msg_iov->iov_len && !*sender->stop) {
		if (sendto(sender->fd, payload + offset, size, MSG_DONTWAIT, message->msg_name,
			   message->msg_namelen) >= 0) {
			count_sent(sender, size);
			offset += size;
			continue;
		}

		const int result = recover(sender, errno);

		if (result < 0)
			return result;
	}
	return 0;
}

/*
 * Devices without checksum offload under older kernels refuse UDP_SEGMENT with EIO or EINVAL, a route
 * with a smaller MTU than its device with EMSGSIZE. From then on bursts are plain sends.
 */
static bool refused_segments(struct sender *sender, int error)
{
	if (sender->segments_max == 1 || (error != EIO && error != EINVAL && error != EMSGSIZE))
		return false;
	sender->segments_max = 1;
	send_socket_unsegment(sender->fd);
	send_socket_drain_errors(sender->fd);
	return true;
}

/* Gives messages from first on, one at least, the time of now. Returns the one after them. */
static unsigned stamp(struct sender *sender, unsigned first)
{
	const size_t size = sender->settings.payload_bytes;
	const uint64_t now_ns = realtime_ns();
	unsigned stamped = 0;
	unsigned message = first;

	do {
		const struct iovec *payload = &sender->payload_of[message];

		for (size_t offset = 0; offset < payload->iov_len; offset += size)
			stream_payload_stamp((uint8_t *)payload->iov_base + offset, now_ns);
		stamped += (unsigned)(payload->iov_len / size);
		message++;
	} while (message < sender->queued &&
		 stamped + sender->payload_of[message].iov_len / size <= STAMP_MAX);
	return message;
}

int sender_flush(struct sender *sender)
{
	unsigned next = 0;
	unsigned stamped = 0; /* messages */
	bool apart = false;
	int result = 0;

	while (next < sender->queued && result == 0 && !*sender->stop) {
		if (next == stamped)
			stamped = stamp(sender, next);
		if (apart) {
			result = send_apart(sender, &sender->messages[next++].msg_hdr);
			continue;
		}

		const int sent =
			sendmmsg(sender->fd, sender->messages + next, stamped - next, MSG_DONTWAIT);

		if (sent < 0 && refused_segments(sender, errno))
			apart = true;
		else if (sent < 0)
			result = recover(sender, errno);
		for (int message = 0; message < sent; message++)
			count_sent(sender, sender->payload_of[next++].iov_len);
	}
	sender->queued = 0;
	sender->queued_bytes = 0;
	return result;
}

const struct sender_counts *sender_counts(const struct sender *sender)
{
	return &sender->counts;
}

bool sender_segments(const struct sender *sender)
{
	return sender->segments_max > 1;
}

void sender_close(struct sender *sender)
{
	close(sender->fd);
	free(sender->payloads);
	free(sender->destinations);
	free(sender);
}
