#include "egress.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "egress_count.h"
#include "egress_refusal.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

/* System calls of a sample: messages, and sockets looked at. */
#define ANSWERS_PER_SAMPLE 256u
#define SLOTS_PER_SAMPLE   64u

#define NO_PLAN UINT32_MAX

_Static_assert(offsetof(struct egress_control, ttl_header) == CMSG_SPACE(sizeof(struct in_pktinfo)),
	       "control messages follow each other as the kernel walks them");
_Static_assert(offsetof(struct egress_control, tos_header) -
			       offsetof(struct egress_control, ttl_header) ==
		       CMSG_SPACE(sizeof(int)),
	       "control messages follow each other as the kernel walks them");
_Static_assert(sizeof(struct egress_control) - EGRESS_WITHOUT_SEGMENTS ==
		       CMSG_SPACE(sizeof(uint16_t)),
	       "control messages follow each other as the kernel walks them");

static void prepare_message(struct egress *egress, uint32_t index)
{
	struct egress_control *control = &egress->controls[index];
	struct msghdr *header = &egress->messages[index].msg_hdr;

	control->source_header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo)),
						   .cmsg_level = IPPROTO_IP,
						   .cmsg_type = IP_PKTINFO };
	control->ttl_header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
						.cmsg_level = IPPROTO_IP,
						.cmsg_type = IP_TTL };
	control->tos_header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
						.cmsg_level = IPPROTO_IP,
						.cmsg_type = IP_TOS };
	control->segment_header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(uint16_t)),
						    .cmsg_level = IPPROTO_UDP,
						    .cmsg_type = UDP_SEGMENT };
	egress->destinations[index].sin_family = AF_INET;
	header->msg_name = &egress->destinations[index];
	header->msg_namelen = sizeof(egress->destinations[index]);
	header->msg_control = control;
}

struct egress *egress_open(struct journal *journal, struct ledger *ledger)
{
	struct egress *egress = calloc(1, sizeof(*egress));

	if (!egress)
		return NULL;
	egress->sockets = calloc(SLUICE_MAX_EGRESS, sizeof(*egress->sockets));
	if (!egress->sockets) {
		free(egress);
		return NULL;
	}
	for (uint32_t slot = 0; slot < SLUICE_MAX_EGRESS; slot++)
		egress->sockets[slot].fd = -1;
	for (uint32_t index = 0; index < EGRESS_MESSAGES; index++)
		prepare_message(egress, index);
	egress->journal = journal;
	egress->ledger = ledger;
	egress->planned_limit = NO_PLAN;
	return egress;
}

void egress_close(struct egress *egress)
{
	if (!egress)
		return;
	for (uint32_t slot = 0; slot < SLUICE_MAX_EGRESS; slot++) {
		if (egress->sockets[slot].fd >= 0)
			close(egress->sockets[slot].fd);
	}
	free(egress->sockets);
	free(egress);
}

int egress_add(struct egress *egress, uint32_t slot, int fd, uint32_t ifindex, uint32_t options)
{
	struct egress_socket *socket;

	if (slot >= SLUICE_MAX_EGRESS)
		return -EINVAL;
	socket = &egress->sockets[slot];
	if (socket->fd >= 0)
		return -EBUSY;
	*socket = (struct egress_socket){
		.fd = fd,
		.ifindex = ifindex,
		.segmentation = !(options & SLUICE_EGRESS_NO_SEGMENTATION),
	};
	if (slot >= egress->slots_used)
		egress->slots_used = slot + 1;
	return 0;
}

int egress_remove(struct egress *egress, uint32_t slot)
{
	if (slot >= SLUICE_MAX_EGRESS)
		return -EINVAL;
	if (egress->sockets[slot].fd < 0)
		return -ENOENT;
	close(egress->sockets[slot].fd);
	egress->sockets[slot].fd = -1;
	return 0;
}

/* ICMP comes when it likes: each slot gets its turn, so that many sockets cost no more than a few. */
void egress_sample(struct egress *egress, const struct table *table)
{
	uint32_t left = ANSWERS_PER_SAMPLE;

	if (!table)
		return;
	for (uint32_t turn = 0; turn < egress->slots_used && turn < SLOTS_PER_SAMPLE && left;
	     turn++) {
		const uint32_t slot = egress->next_sampled++ % egress->slots_used;

		if (egress->sockets[slot].fd >= 0)
			left -= answers_take(&egress->answers, slot, egress->sockets[slot].fd,
					     left);
	}
	answers_count(&egress->answers, table, egress->counters);
}

/* ---- sending ----------------------------------------------------------- */

/* How many messages from `index` on can be handed over as they are, in one call. */
static uint32_t sendable(const struct egress *egress, const struct egress_socket *socket,
			 uint32_t index, uint32_t *datagrams)
{
	uint32_t end = index;

	*datagrams = 0;
	for (; end < egress->message_count; end++) {
		const struct egress_account *account = &egress->accounts[end];

		if (account->segment_bytes && !socket->segmentation)
			break;
		if (end > index && *datagrams + account->datagrams > EGRESS_CALL_DATAGRAMS)
			break;
		*datagrams += account->datagrams;
	}
	return end - index;
}

static void send_gathered(struct egress *egress, struct egress_socket *socket)
{
	uint32_t index = 0;
	uint32_t tries = 0;

	while (index < egress->message_count) {
		uint32_t datagrams;
		uint32_t count = sendable(egress, socket, index, &datagrams);
		int sent;

		if (!count) {
			egress_send_plainly(egress, socket, index++);
			continue;
		}
		ledger_begin(egress->ledger, datagrams);
		sent = sendmmsg(socket->fd, &egress->messages[index], count, MSG_DONTWAIT);
		if (sent < 0) {
			if (egress_answer_error(egress, socket, index, errno, ++tries)) {
				index++;
				tries = 0;
			}
			continue;
		}
		tries = 0;
		for (uint32_t end = index + (uint32_t)sent; index < end; index++) {
			if (egress->accounts[index].segment_bytes)
				socket->refused_segments = 0;
			egress_count_sent(egress, &egress->accounts[index]);
		}
	}
}

void egress_flush(struct egress *egress)
{
	struct egress_socket *socket = &egress->sockets[egress->slot];

	if (egress->message_count && socket->fd >= 0) {
		send_gathered(egress, socket);
	} else if (egress->message_count) {
		egress_report(egress, socket, EBADF);
		for (uint32_t index = 0; index < egress->message_count; index++)
			egress_count_failed(egress, &egress->accounts[index], EBADF);
	}
	egress->message_count = 0;
	egress->vector_count = 0;
	/* The plan's vectors are given up with the others. */
	egress->planned_limit = NO_PLAN;
}

/* ---- gathering --------------------------------------------------------- */

void egress_take_group(struct egress *egress, const struct payload *payloads, uint32_t first)
{
	egress->payloads = payloads;
	egress->first_payload = first;
	egress->planned_limit = NO_PLAN;
}

/* Outputs with the same limit share one plan, its vectors included. */
static void plan_for(struct egress *egress, uint32_t limit)
{
	if (egress->planned_limit == limit)
		return;
	if (EGRESS_VECTORS - egress->vector_count < PLAN_MAX_DATAGRAMS)
		egress_flush(egress);
	egress->vector_count += segment_plan_make(&egress->plan, egress->payloads,
						  egress->first_payload, limit,
						  egress->vectors + egress->vector_count);
	egress->planned_limit = limit;
}

static struct egress_account account_for(const struct egress *egress,
					 const struct sluice_output_record *output,
					 const struct planned_send *send)
{
	return (struct egress_account){
		.output = egress->counters + output->counter_index,
		.datagrams = send->datagrams,
		.bytes = send->bytes,
		.segment_bytes = send->segment_bytes,
	};
}

/* Has a predecessor sent it? If it may not have counted it, it is counted. */
static bool was_sent(struct egress *egress, const struct sluice_output_record *output,
		     const struct planned_send *send)
{
	const enum ledger_step step = ledger_next(egress->ledger, send->datagrams);
	struct egress_account account;

	if (__builtin_expect(step == LEDGER_TO_DO, 1))
		return false;
	if (step == LEDGER_IN_FLIGHT) {
		account = account_for(egress, output, send);
		egress_count_sent(egress, &account);
	}
	return true;
}

static void gather(struct egress *egress, const struct sluice_output_record *output,
		   const struct planned_send *send)
{
	const uint32_t index = egress->message_count++;
	struct msghdr *header = &egress->messages[index].msg_hdr;
	struct egress_control *control = &egress->controls[index];

	header->msg_iov = send->vectors;
	header->msg_iovlen = send->vector_count;
	header->msg_controllen = send->segment_bytes ? sizeof(*control) : EGRESS_WITHOUT_SEGMENTS;
	control->source.ipi_ifindex = (int)output->ifindex;
	control->source.ipi_spec_dst.s_addr = output->source_be;
	control->ttl = output->ttl;
	control->tos = output->tos;
	control->segment_bytes = (uint16_t)send->segment_bytes;
	egress->destinations[index].sin_addr.s_addr = output->destination_be;
	egress->destinations[index].sin_port = output->port_be;
	egress->accounts[index] = account_for(egress, output, send);
}

void egress_send(struct egress *egress, const struct sluice_output_record *output)
{
	const uint32_t slot = output->egress_slot;
	uint32_t limit;

	if (slot != egress->slot) {
		egress_flush(egress);
		egress->slot = slot;
	}
	/* One by one where a predecessor may have come to the middle of a send. */
	limit = egress->sockets[slot].segmentation && !egress->ledger->resuming
			? plan_segment_limit(output->mtu)
			: 0;
	plan_for(egress, limit);
	for (uint32_t at = 0; at < egress->plan.count; at++) {
		if (was_sent(egress, output, &egress->plan.sends[at]))
			continue;
		if (egress->message_count == EGRESS_MESSAGES) {
			/* The plan goes on: only the messages are gone. */
			const uint32_t vector_count = egress->vector_count;

			egress_flush(egress);
			egress->vector_count = vector_count;
			egress->planned_limit = limit;
		}
		gather(egress, output, &egress->plan.sends[at]);
	}
}
