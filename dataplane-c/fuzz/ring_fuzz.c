/*
 * A shard as a worker in an attacker's hands leaves it to its successor: any state, any
 * slots, any copies in the socket's queue. The supervisor settles the state, the successor
 * takes frames from the ring and parses them.
 *
 * Input: struct described, the first bytes of the state, then slots (struct slot and the
 * frame's bytes) and copies, until it ends. Whatever it says, a frame lies in its slot or
 * in a buffer for copies, slots that are filled are taken, and each taken one is given back.
 */
#include "../src/frame.h"
#include "../src/ring.h"
#include "fuzz.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

struct described {
	uint8_t geometry; /* which of `geometries` */
	uint8_t flags;    /* enum described_flag */
	uint8_t batch;    /* frames taken before they are given back */
	uint8_t state_bytes;
};

enum described_flag { OLD_MAGIC = 1u, SETTLE = 2u, RESYNCHRONISE = 4u };

struct slot {
	uint8_t at;
	uint8_t bytes; /* of the input, that follow */
	uint8_t flags; /* enum slot_flag */
	uint8_t tp_mac;
	uint32_t tp_status;
	uint32_t tp_len;
	uint32_t tp_snaplen;
	uint16_t tp_vlan_tci;
	uint16_t pkttype;
};

/*
 * COPY: the frame lies in the socket's queue as well. LENGTHS: offset and lengths agree with
 * the bytes, which the fuzzer can't guess. LATER: it comes when all before it are taken.
 */
enum slot_flag { COPY = 1u, LENGTHS = 2u, LATER = 4u };

#define SETTLED    64u /* counters */
#define PAGE_WORDS 512u

static const struct sluice_ring geometries[] = {
	{ .frame_bytes = 256, .block_bytes = 4096, .block_count = 1, .frame_count = 16 },
	{ .frame_bytes = 256,
	  .block_bytes = 4096,
	  .block_count = 1,
	  .frame_count = 16,
	  .vnet_header = 1 },
	/* Blocks that slots do not fill. */
	{ .frame_bytes = 1360,
	  .block_bytes = 4096,
	  .block_count = 2,
	  .frame_count = 6,
	  .vnet_header = 1 },
	{ .frame_bytes = 2048,
	  .block_bytes = 4096,
	  .block_count = 1,
	  .frame_count = 2,
	  .vnet_header = 1 },
};

static struct shard_state *state; /* on the heap, of exactly its size */
static struct shard_state *shared_state;
static uint64_t *shared_counters; /* the page that the counters begin */
static int state_fd, counters_fd;
static int queue[2];

static uint32_t slot_offset(const struct sluice_ring *geometry, uint32_t slot)
{
	const uint32_t per_block = geometry->frame_count / geometry->block_count;

	return slot / per_block * geometry->block_bytes + slot % per_block * geometry->frame_bytes;
}

/* A whole frame for the socket's queue: the bytes, then zeros. */
static void send_copy(size_t prefix, const uint8_t *bytes, size_t count, size_t length)
{
	static uint8_t copy[2 * RING_COPY_BYTES];

	memcpy(copy + prefix, bytes, count);
	length = prefix + length < sizeof(copy) ? prefix + length : sizeof(copy);
	/* What does not fit into the queue is not there. */
	(void)send(queue[1], copy, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	memset(copy + prefix, 0, count);
}

/* One slot as the kernel would write it, or as it never would. Returns the input's bytes that it took. */
static size_t fill_slot(uint8_t *slots, const struct sluice_ring *geometry, const uint8_t *input,
			size_t size)
{
	struct slot slot;
	struct tpacket2_hdr header = { 0 };
	struct sockaddr_ll from = { .sll_family = AF_PACKET };
	uint8_t *at;
	uint32_t room;
	uint32_t bytes;

	memcpy(&slot, input, sizeof(slot));
	bytes = slot.bytes < size - sizeof(slot) ? slot.bytes : (uint32_t)(size - sizeof(slot));
	at = slots + slot_offset(geometry, slot.at % geometry->frame_count);
	header.tp_status = slot.tp_status;
	header.tp_len = slot.tp_len;
	header.tp_snaplen = slot.tp_snaplen;
	header.tp_mac = slot.tp_mac;
	header.tp_vlan_tci = slot.tp_vlan_tci;
	from.sll_pkttype = (uint8_t)slot.pkttype;
	if (slot.flags & LENGTHS) {
		header.tp_mac = (uint16_t)(TPACKET_ALIGN(sizeof(header)) + sizeof(from) + 16);
		header.tp_snaplen = bytes;
		header.tp_len = bytes + (slot.flags & COPY ? slot.tp_len % RING_COPY_BYTES : 0);
	}
	memcpy(at, &header, sizeof(header));
	memcpy(at + TPACKET_ALIGN(sizeof(header)), &from, sizeof(from));
	room = header.tp_mac < geometry->frame_bytes ? geometry->frame_bytes - header.tp_mac : 0;
	memcpy(at + geometry->frame_bytes - room, input + sizeof(slot),
	       bytes < room ? bytes : room);
	if (slot.flags & COPY)
		send_copy(geometry->vnet_header ? sizeof(struct virtio_net_hdr) : 0,
			  input + sizeof(slot), bytes, header.tp_len);
	return sizeof(slot) + bytes;
}

/* What the supervisor does with it before anybody else. */
static void settle(void)
{
	int error;

	memcpy(shared_state, state, offsetof(struct shard_state, copy_memory));
	error = sluice_shard_settle(state_fd, counters_fd);
	HOLDS(error == 0 || error == -EINVAL);
	HOLDS(error || shared_state->entry_count == 0);
	for (uint32_t word = SETTLED; word < PAGE_WORDS; word++)
		HOLDS(shared_counters[word] == 0);
}

static void check_frame(const struct ring *ring, uint32_t slot, const struct frame *frame)
{
	const uint8_t *begin = ring->slots + slot_offset(&ring->geometry, slot);
	const uint8_t *end = begin + ring->geometry.frame_bytes;
	const uint8_t *copies = state->copy_memory[0];
	struct datagrams datagrams;

	HOLDS(frame->captured <= frame->length);
	if (frame->bytes >= copies && frame->bytes < copies + sizeof(state->copy_memory)) {
		const size_t offset = (size_t)(frame->bytes - copies) % RING_COPY_BYTES;

		HOLDS(offset + frame->captured <= RING_COPY_BYTES);
		HOLDS(frame->captured == frame->length);
	} else {
		HOLDS(frame->bytes >= begin && frame->bytes <= end);
		HOLDS(frame->captured <= (size_t)(end - frame->bytes));
	}
	HOLDS((uint32_t)frame_parse(frame, &datagrams) <= FRAME_OK);
}

/* As work_shard() does, as long as there is something. */
static void take_all(struct ring *ring, uint32_t batch)
{
	uint32_t all = 0;
	uint32_t taken;

	do {
		const uint32_t first = ring->cursor;

		taken = 0;
		while (taken < batch) {
			const uint32_t slot = ring->cursor;
			struct frame frame;

			if (ring_take(ring, &frame) == RING_EMPTY)
				break;
			check_frame(ring, slot, &frame);
			taken++;
		}
		ring_return(ring);
		HOLDS(ring->state->cursor == ring->cursor && ring->state->sent == ring->cursor);
		HOLDS(ring->returned == ring->cursor && ring->copies_used == 0);
		HOLDS(ring->cursor == (first + taken) % ring->geometry.frame_count);
		all += taken;
		/* One batch may end where a predecessor's did; none is filled a second time. */
		HOLDS(all <= ring->geometry.frame_count);
	} while (taken);
}

static void empty_queue(void)
{
	uint8_t byte;

	while (recv(queue[0], &byte, 1, MSG_DONTWAIT) >= 0)
		;
}

/* The state's first bytes are the input's; how many. */
static size_t lay_state(const struct described *described, const uint8_t *input, size_t size)
{
	const size_t all = offsetof(struct shard_state, copy_memory);
	size_t bytes = described->state_bytes * 4u;

	bytes = bytes < size ? bytes : size;
	bytes = bytes < all ? bytes : all;
	memset(state, 0, all);
	memcpy(state, input, bytes);
	if (!(described->flags & OLD_MAGIC))
		state->magic = SHARD_STATE_MAGIC;
	if (described->flags & SETTLE)
		settle();
	return bytes;
}

/* Fills slots up to the next that comes later. Returns the input's bytes that it took. */
static size_t fill_slots(uint8_t *slots, const struct sluice_ring *geometry, const uint8_t *input,
			 size_t size)
{
	size_t taken = 0;

	while (size - taken > sizeof(struct slot)) {
		if (taken && input[taken + offsetof(struct slot, flags)] & LATER)
			break;
		taken += fill_slot(slots, geometry, input + taken, size - taken);
	}
	return taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	const struct sluice_ring *geometry;
	struct described described;
	struct ring ring;
	uint8_t *slots;
	size_t at = sizeof(described);

	if (size < sizeof(described))
		return -1;
	memcpy(&described, input, sizeof(described));
	geometry = &geometries[described.geometry % (sizeof(geometries) / sizeof(*geometries))];
	slots = calloc(geometry->block_count, geometry->block_bytes);
	HOLDS(slots);
	at += lay_state(&described, input + at, size - at);
	at += fill_slots(slots, geometry, input + at, size - at);
	if (ring_adopt(&ring, queue[0], slots, state, geometry) == 0) {
		take_all(&ring, described.batch % 32u + 1u);
		fill_slots(slots, geometry, input + at, size - at);
		take_all(&ring, described.batch % 32u + 1u);
		/* Nothing at the cursor now: elsewhere perhaps. */
		if (described.flags & RESYNCHRONISE && ring_resynchronise(&ring))
			take_all(&ring, described.batch % 32u + 1u);
		HOLDS(!ring_ready(&ring));
	}
	free(slots);
	empty_queue();
	return 0;
}

int LLVMFuzzerInitialize(const int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	state = calloc(1, sizeof(*state));
	state_fd = sluice_shard_state_create();
	counters_fd = sluice_counters_create(SETTLED);
	HOLDS(state && state_fd >= 0 && counters_fd >= 0);
	shared_state = mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, state_fd, 0);
	shared_counters = mmap(NULL, PAGE_WORDS * 8u, PROT_READ, MAP_SHARED, counters_fd, 0);
	HOLDS(shared_state != MAP_FAILED && shared_counters != MAP_FAILED);
	HOLDS(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, queue) == 0);
	return 0;
}
