#include "segment_plan.h"

/* The send being put together. */
struct draft {
	struct segment_plan *plan;
	struct iovec *vectors;
	uint32_t vector_count;
	bool open; /* all segments so far are of full size: more may follow */
};

static struct planned_send *start(struct draft *draft, uint32_t segment_bytes)
{
	struct planned_send *send = &draft->plan->sends[draft->plan->count++];

	*send = (struct planned_send){ .vectors = draft->vectors + draft->vector_count,
				       .segment_bytes = segment_bytes };
	return send;
}

static void append(struct draft *draft, const uint8_t *bytes, uint32_t length, uint32_t datagrams)
{
	struct planned_send *send = &draft->plan->sends[draft->plan->count - 1];

	draft->vectors[draft->vector_count++] = (struct iovec){ (void *)bytes, length };
	send->vector_count++;
	send->bytes += length;
	send->datagrams += datagrams;
}

static bool fits(const struct draft *draft, const struct payload *payload)
{
	const struct planned_send *send;

	if (!draft->open)
		return false;
	send = &draft->plan->sends[draft->plan->count - 1];
	/* A shorter datagram may end the send; a shorter segment size can't join it. */
	if (payload->segment_bytes != send->segment_bytes &&
	    (payload->count > 1 || payload->length > send->segment_bytes))
		return false;
	return send->datagrams + payload->count <= PLAN_SEND_SEGMENTS &&
	       send->bytes + payload->length <= PLAN_SEND_BYTES;
}

/* As many sends as it takes, of at most `most` datagrams each. */
static void plan_apart(struct draft *draft, const struct payload *payload, uint32_t most)
{
	const uint8_t *bytes = payload->bytes;
	uint32_t left = payload->length;
	uint32_t count = payload->count;

	while (count) {
		uint32_t datagrams = count < most ? count : most;
		uint32_t length = datagrams * payload->segment_bytes;

		if (length > left)
			length = left;
		start(draft, most > 1 ? payload->segment_bytes : 0);
		append(draft, bytes, length, datagrams);
		bytes += length;
		left -= length;
		count -= datagrams;
	}
}

static void plan_payload(struct draft *draft, const struct payload *payload, uint32_t segment_limit)
{
	/* An empty datagram is legal, but no segment. */
	if (payload->length == 0 || payload->segment_bytes > segment_limit) {
		plan_apart(draft, payload, 1);
		draft->open = false;
		return;
	}
	if (fits(draft, payload))
		append(draft, payload->bytes, payload->length, payload->count);
	else
		plan_apart(draft, payload, PLAN_SEND_SEGMENTS);
	draft->open = payload->length == payload->count * payload->segment_bytes &&
		      draft->plan->sends[draft->plan->count - 1].segment_bytes ==
			      payload->segment_bytes;
}

uint32_t segment_plan_make(struct segment_plan *plan, const struct payload *payloads,
			   uint32_t first, uint32_t segment_limit, struct iovec *vectors)
{
	struct draft draft = { .plan = plan, .vectors = vectors };

	plan->count = 0;
	for (uint32_t at = first; at != PAYLOAD_NONE; at = payloads[at].next)
		plan_payload(&draft, &payloads[at], segment_limit);
	for (uint32_t at = 0; at < plan->count; at++) {
		if (plan->sends[at].datagrams == 1)
			plan->sends[at].segment_bytes = 0;
	}
	return draft.vector_count;
}
