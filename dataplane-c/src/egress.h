/*
 * Sending: one batch's datagrams, output after output, through the egress sockets
 * that the supervisor made.
 *
 * Nothing is copied in user space: messages point at the payloads where the ring
 * holds them. Messages for one socket gather until another socket is needed, or no
 * room is left; then one sendmmsg takes them all. Memory is bounded whatever the
 * fan-out, and allocated once.
 *
 * Every datagram of every output is counted exactly once, as sent or as failed, and
 * written into the ledger, so that a successor knows how far a killed worker came.
 *
 *   error                        answer
 *   EAGAIN, ENOBUFS              failed
 *   EIO, with segments           no UDP_SEGMENT on this socket from now on; sent plainly
 *   EINVAL, with segments        sent plainly; many in a row are taken as EIO
 *   EMSGSIZE, with segments      sent plainly
 *   any other                    the error queue is emptied and the send tried once more:
 *                                it may be an earlier datagram's
 *   ECONNREFUSED and others      by ICMP, so that it is an earlier one's: ANSWERS_TRIES times
 *
 * What failed is counted by reason as well, and what ICMP answered apart (egress_errors.h).
 */
#ifndef SLUICE_EGRESS_H
#define SLUICE_EGRESS_H

#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

#include "egress_errors.h"
#include "journal.h"
#include "ledger.h"
#include "segment_plan.h"
#include "sluice.h"

#define EGRESS_MESSAGES 512u
#define EGRESS_VECTORS  (4u * PLAN_MAX_DATAGRAMS)

/*
 * Of one sendmmsg: what is lost when the worker is killed just before it. One more system
 * call for each 64 datagrams is nothing beside sending them.
 */
#define EGRESS_CALL_DATAGRAMS 64u

/* So many segmented sends in a row refused as invalid: the kernel or device can't do it. */
#define EGRESS_REFUSALS_BELIEVED 16u

struct egress_socket {
	int fd; /* -1: none */
	uint32_t ifindex;
	bool segmentation;
	uint32_t refused_segments; /* EINVALs since the last segmented send that went */
	uint64_t reported;         /* errors that were logged, by errno modulo 64 */
};

/* ip(7), udp(7): what each message says beside its destination. Laid out as CMSG_* would. */
struct egress_control {
	struct cmsghdr source_header;
	struct in_pktinfo source;
	uint32_t source_padding;
	struct cmsghdr ttl_header;
	int ttl;
	int ttl_padding;
	struct cmsghdr tos_header;
	int tos;
	int tos_padding;
	struct cmsghdr segment_header;
	uint16_t segment_bytes;
	uint16_t segment_padding[3];
};

/* Bytes of it that a message without segments has. */
#define EGRESS_WITHOUT_SEGMENTS offsetof(struct egress_control, segment_header)

/* For the counters, when the message was sent. */
struct egress_account {
	uint64_t *output; /* block of SLUICE_OUTPUT_COUNTERS */
	uint32_t datagrams;
	uint32_t bytes;
	uint32_t segment_bytes; /* 0: no UDP_SEGMENT */
};

struct egress {
	struct egress_socket *sockets; /* SLUICE_MAX_EGRESS */
	uint32_t slots_used;           /* none was from here on */
	uint32_t next_sampled;
	struct answers answers;
	struct journal *journal;
	uint64_t *counters; /* of the worker slot; block 0 is the worker's own */
	struct ledger *ledger;

	/* The datagrams being sent, and their plan for outputs with this limit. */
	const struct payload *payloads;
	uint32_t first_payload;
	uint32_t planned_limit;
	struct segment_plan plan;

	/* Gathered for one socket. */
	uint32_t slot;
	uint32_t message_count;
	uint32_t vector_count;
	struct mmsghdr messages[EGRESS_MESSAGES];
	struct egress_account accounts[EGRESS_MESSAGES];
	struct egress_control controls[EGRESS_MESSAGES];
	struct sockaddr_in destinations[EGRESS_MESSAGES];
	struct iovec vectors[EGRESS_VECTORS];
};

/* NULL: no memory. Both outlive it. */
struct egress *egress_open(struct journal *journal, struct ledger *ledger);
void egress_close(struct egress *egress);

/* Takes fd. 0, -EINVAL (slot out of range), -EBUSY (slot in use). */
int egress_add(struct egress *egress, uint32_t slot, int fd, uint32_t ifindex, uint32_t options);
/* 0, -EINVAL, -ENOENT. */
int egress_remove(struct egress *egress, uint32_t slot);

/* The datagrams that the following egress_send() calls send: a list in `payloads`. */
void egress_take_group(struct egress *egress, const struct payload *payloads, uint32_t first);
/*
 * Gathers them for one output. The payloads must stay until egress_flush(). Of a batch
 * that a predecessor began, only what it had not handed to the kernel.
 */
void egress_send(struct egress *egress, const struct sluice_output_record *output);
/* Sends what was gathered. */
void egress_flush(struct egress *egress);
/* Counts what ICMP answered meanwhile; table: that of the counters, NULL: none yet. */
void egress_sample(struct egress *egress, const struct table *table);

#endif
