#include "egress_refusal.h"

#include <errno.h>

#include "egress_count.h"

void egress_report(struct egress *egress, struct egress_socket *socket, int error)
{
	uint64_t bit = UINT64_C(1) << ((unsigned)error % 64);

	if (socket->reported & bit)
		return;
	socket->reported |= bit;
	journal_write(egress->journal, JOURNAL_WARN, SLUICE_FACILITY_EGRESS,
		      "slot %u, interface %u: sending failed: %s (logged once, counted always)",
		      egress->slot, socket->ifindex, sluice_error_text(error));
}

/* Is the refused send to be tried once more? */
static bool tries_again(struct egress *egress, const struct egress_socket *socket, int error,
			uint32_t tries)
{
	return answers_allow_retry(&egress->answers, (uint32_t)(socket - egress->sockets),
				   socket->fd, error, tries);
}

/* One datagram of a refused send: the message as it is, but with one vector and no segments. */
static int send_one(struct egress *egress, const struct egress_socket *socket,
		    const struct msghdr *refused, struct iovec *vector)
{
	struct msghdr message = *refused;

	message.msg_iov = vector;
	message.msg_iovlen = 1;
	message.msg_controllen = EGRESS_WITHOUT_SEGMENTS;
	for (uint32_t tries = 1;; tries++) {
		int error;

		if (sendmsg(socket->fd, &message, MSG_DONTWAIT) >= 0)
			return 0;
		error = errno;
		if (!tries_again(egress, socket, error, tries))
			return error;
	}
}

/* Each vector holds whole segments, but for the very last. */
void egress_send_plainly(struct egress *egress, struct egress_socket *socket, uint32_t index)
{
	const struct msghdr *message = &egress->messages[index].msg_hdr;
	struct egress_account account = egress->accounts[index];
	const size_t segment_bytes = account.segment_bytes;

	counter_add(&egress->counters[SLUICE_WORKER_SEGMENTATION_FALLBACKS], 1);
	account.datagrams = 1;
	for (size_t vector = 0; vector < message->msg_iovlen; vector++) {
		uint8_t *bytes = message->msg_iov[vector].iov_base;
		size_t left = message->msg_iov[vector].iov_len;

		while (left) {
			struct iovec one = { bytes, left < segment_bytes ? left : segment_bytes };
			int error;

			ledger_begin(egress->ledger, 1);
			error = send_one(egress, socket, message, &one);
			account.bytes = (uint32_t)one.iov_len;
			if (error) {
				egress_report(egress, socket, error);
				egress_count_failed(egress, &account, error);
			} else {
				egress_count_sent(egress, &account);
			}
			bytes += one.iov_len;
			left -= one.iov_len;
		}
	}
}

bool egress_answer_error(struct egress *egress, struct egress_socket *socket, uint32_t index,
			 int error, uint32_t tries)
{
	const bool segments = egress->accounts[index].segment_bytes != 0;

	if (segments && (error == EIO || error == EINVAL)) {
		/*
		 * EIO: the device can't. EINVAL can also mean that one route's MTU is smaller
		 * than the device's (kernels that do not say EMSGSIZE), which is no reason to
		 * give up for every output of the socket.
		 */
		if (error == EIO || ++socket->refused_segments == EGRESS_REFUSALS_BELIEVED) {
			journal_write(egress->journal, JOURNAL_WARN, SLUICE_FACILITY_EGRESS,
				      "slot %u, interface %u: no UDP_SEGMENT (%s), sending plainly",
				      egress->slot, socket->ifindex, sluice_error_text(error));
			socket->segmentation = false;
		}
		egress_send_plainly(egress, socket, index);
		return true;
	}
	if (segments && error == EMSGSIZE) {
		egress_send_plainly(egress, socket, index);
		return true;
	}
	if (tries_again(egress, socket, error, tries))
		return false;
	egress_report(egress, socket, error);
	egress_count_failed(egress, &egress->accounts[index], error);
	return true;
}
