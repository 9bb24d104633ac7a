#include "capture.h"
#include "veth_pair.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>

#define DEADLINE_MS 10000

static size_t map_bytes(const struct sluice_ring *ring)
{
	return (size_t)ring->block_bytes * ring->block_count;
}

void capture_open(struct capture *capture, int fd, const struct sluice_ring *ring)
{
	*capture = (struct capture){ .fd = fd, .ring = *ring };
	capture->slots = mmap(NULL, map_bytes(ring), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (capture->slots == MAP_FAILED)
		give_up("capture: mmap: %s", strerror(errno));
}

void capture_close(struct capture *capture)
{
	munmap(capture->slots, map_bytes(&capture->ring));
	sluice_close(capture->fd);
}

static struct tpacket2_hdr *slot(const struct capture *capture, uint32_t index)
{
	uint8_t *at = capture->slots + (size_t)index * capture->ring.frame_bytes;

	return (struct tpacket2_hdr *)(void *)at;
}

bool capture_take(struct capture *capture, struct captured *captured)
{
	struct tpacket2_hdr *header = slot(capture, capture->cursor);
	const uint32_t status = __atomic_load_n(&header->tp_status, __ATOMIC_ACQUIRE);
	const uint32_t last = capture->cursor ? capture->cursor - 1 : capture->ring.frame_count - 1;

	/* What was taken before is given back only now: its frame was valid until here. */
	if (slot(capture, last)->tp_status & TP_STATUS_USER)
		__atomic_store_n(&slot(capture, last)->tp_status, TP_STATUS_KERNEL,
				 __ATOMIC_RELEASE);
	if (!(status & TP_STATUS_USER))
		return false;
	*captured = (struct captured){
		.frame = (const uint8_t *)header + header->tp_mac,
		.bytes = header->tp_snaplen,
		.wire_bytes = header->tp_len,
		.status = status,
		.vlan = status & TP_STATUS_VLAN_VALID ? header->tp_vlan_tci : 0,
	};
	capture->cursor = (capture->cursor + 1) % capture->ring.frame_count;
	return true;
}

bool capture_await(struct capture *capture, struct captured *captured)
{
	struct pollfd wait = { .fd = capture->fd, .events = POLLIN };

	while (!capture_take(capture, captured))
		if (poll(&wait, 1, DEADLINE_MS) <= 0)
			return false;
	return true;
}

uint32_t captured_mark(const struct captured *captured)
{
	const uint8_t *mark = captured->frame + 14 + 20 + 8;

	return (uint32_t)mark[0] << 24 | (uint32_t)mark[1] << 16 | (uint32_t)mark[2] << 8 | mark[3];
}
