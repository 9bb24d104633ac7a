#include "egress_errors.h"

#include <errno.h>
#include <time.h> /* struct timespec, for linux/errqueue.h */

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <string.h>
#include <sys/socket.h>

#include "counters.h"

/* System calls of a send that was refused. */
#define ANSWERS_PER_REFUSAL 1024u

enum sluice_failure failure_of(int error)
{
	switch (error) {
	case EAGAIN:
	case ENOBUFS:
	case ENOMEM:
		return SLUICE_FAILURE_QUEUE_FULL;
	/*
	 * To a socket that is bound to an interface no route is missing: without one the
	 * kernel takes the destination for a neighbour. What it calls unreachable is the
	 * network of an interface that is down, gone, or has no address.
	 */
	case ENETUNREACH:
	case ENETDOWN:
	case ENODEV:
	case ENXIO:
	case EADDRNOTAVAIL:
		return SLUICE_FAILURE_INTERFACE_DOWN;
	/* icmp(7): what an earlier datagram was answered, when asking again did not help. */
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ECONNREFUSED:
	case ENOPROTOOPT:
	case EOPNOTSUPP:
	case ENONET:
		return SLUICE_FAILURE_UNREACHABLE;
	case EPERM:
	case EACCES:
		return SLUICE_FAILURE_NOT_PERMITTED;
	case EMSGSIZE:
		return SLUICE_FAILURE_TOO_LONG;
	/* The slot holds no socket. */
	case EBADF:
		return SLUICE_FAILURE_UNUSABLE;
	default:
		return SLUICE_FAILURE_OTHER;
	}
}

static void keep(struct answers *answers, uint32_t egress_slot,
		 const struct sockaddr_in *destination)
{
	uint32_t at = 0;

	while (at < answers->count &&
	       (answers->from[at].egress_slot != egress_slot ||
		answers->from[at].destination_be != destination->sin_addr.s_addr ||
		answers->from[at].port_be != destination->sin_port))
		at++;
	if (at == ANSWERS_DESTINATIONS)
		return;
	if (at == answers->count) {
		answers->count++;
		answers->from[at].egress_slot = egress_slot;
		answers->from[at].destination_be = destination->sin_addr.s_addr;
		answers->from[at].port_be = destination->sin_port;
		answers->from[at].answers = 0;
	}
	answers->from[at].answers++;
}

/* RFC 792: no way, nobody there, or the TTL ran out. Not "fragmentation needed", which says nothing is lost. */
static bool says_unreachable(const struct sock_extended_err *error)
{
	return error->ee_origin == SO_EE_ORIGIN_ICMP &&
	       ((error->ee_type == ICMP_DEST_UNREACH && error->ee_code != ICMP_FRAG_NEEDED) ||
		error->ee_type == ICMP_TIME_EXCEEDED);
}

/* ip(7), IP_RECVERR: the datagram's own destination is the message's name. */
uint32_t answers_take(struct answers *answers, uint32_t egress_slot, int fd, uint32_t limit)
{
	_Alignas(struct cmsghdr) uint8_t control[512];
	uint8_t bytes[64];
	struct sockaddr_in destination;
	struct iovec vector = { bytes, sizeof(bytes) };
	uint32_t taken = 0;

	for (; taken < limit; taken++) {
		struct msghdr message = {
			.msg_name = &destination,
			.msg_namelen = sizeof(destination),
			.msg_iov = &vector,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};
		struct cmsghdr *header;

		if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			break;
		for (header = CMSG_FIRSTHDR(&message); header;
		     header = CMSG_NXTHDR(&message, header)) {
			struct sock_extended_err error;

			if (header->cmsg_level != IPPROTO_IP || header->cmsg_type != IP_RECVERR ||
			    header->cmsg_len < CMSG_LEN(sizeof(error)))
				continue;
			memcpy(&error, CMSG_DATA(header), sizeof(error));
			if (says_unreachable(&error) && message.msg_namelen >= sizeof(destination))
				keep(answers, egress_slot, &destination);
		}
	}
	return taken;
}

bool answers_allow_retry(struct answers *answers, uint32_t egress_slot, int fd, int error,
			 uint32_t tries)
{
	const enum sluice_failure failure = failure_of(error);
	/* They can come faster than sends are tried. */
	const uint32_t limit = failure == SLUICE_FAILURE_UNREACHABLE ? ANSWERS_TRIES : 2;

	if (failure == SLUICE_FAILURE_QUEUE_FULL || tries >= limit)
		return false;
	/* Not before each: that takes longer than sending, and the refusal itself took the error. */
	if (tries == 1)
		(void)answers_take(answers, egress_slot, fd, ANSWERS_PER_REFUSAL);
	return true;
}

void answers_count(struct answers *answers, const struct table *table, uint64_t *counters)
{
	for (uint32_t row = 0; answers->count && row < table->header->output_count; row++) {
		const struct sluice_output_record *output = &table->outputs[row];

		for (uint32_t at = 0; at < answers->count; at++) {
			if (output->egress_slot == answers->from[at].egress_slot &&
			    output->destination_be == answers->from[at].destination_be &&
			    output->port_be == answers->from[at].port_be)
				counter_add(&counters[output->counter_index +
						      SLUICE_OUTPUT_UNREACHABLE_ANSWERS],
					    answers->from[at].answers);
		}
	}
	answers->count = 0;
}
