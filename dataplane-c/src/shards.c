/*
 * Capture sockets. The order of the steps is the whole point: a socket must never
 * see a frame that the filter would not pass, nor one that a sibling also gets.
 */
#include "sluice.h"
#include "socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Frames longer than a slot (super-packets, jumbo on a small ring) wait here, whole.
 * The kernel doubles it.
 */
#define RECEIVE_BUFFER_BYTES (8 << 20)

#define BLOCK_BYTES    65536u
#define SLOT_BYTES_MIN 2048u
#define SLOT_BYTES_MAX 16384u
#define SLOTS_MIN      64u
#define RING_BYTES_MAX (UINT64_C(1) << 30)
#define MTU_MIN        68u /* RFC 791 */
#define MTU_MAX        65536u
#define VNET_HEADER    10u
#define TAG_BYTES      4u

int sluice_ring_plan(uint32_t mtu, uint64_t target_bytes, uint32_t vnet_header,
		     struct sluice_ring *ring)
{
	/*
	 * The kernel puts the network header at TPACKET_ALIGN(TPACKET2_HDRLEN + 16), behind a
	 * virtio header if there is one, and the link header right before it. A second VLAN tag
	 * counts as network bytes.
	 */
	uint32_t needed = (uint32_t)TPACKET_ALIGN(TPACKET2_HDRLEN + 16) + TAG_BYTES + mtu +
			  (vnet_header ? VNET_HEADER : 0);
	uint32_t frame_bytes = SLOT_BYTES_MIN;
	uint64_t blocks;

	if (!ring || mtu < MTU_MIN || mtu > MTU_MAX || vnet_header > 1 ||
	    target_bytes > RING_BYTES_MAX)
		return -EINVAL;
	/* A power of two: slots fill the blocks, and slot i is at i × frame_bytes of the map. */
	while (frame_bytes < needed && frame_bytes < SLOT_BYTES_MAX)
		frame_bytes *= 2;
	blocks = target_bytes / BLOCK_BYTES;
	if (blocks * BLOCK_BYTES < (uint64_t)SLOTS_MIN * frame_bytes)
		blocks = (uint64_t)SLOTS_MIN * frame_bytes / BLOCK_BYTES;
	*ring = (struct sluice_ring){
		.block_bytes = BLOCK_BYTES,
		.block_count = (uint32_t)blocks,
		.frame_bytes = frame_bytes,
		.frame_count = (uint32_t)(blocks * BLOCK_BYTES / frame_bytes),
		.vnet_header = vnet_header,
	};
	return 0;
}

static int set_ring(int fd, const struct sluice_ring *ring)
{
	struct tpacket_req request = {
		.tp_block_size = ring->block_bytes,
		.tp_block_nr = ring->block_count,
		.tp_frame_size = ring->frame_bytes,
		.tp_frame_nr = ring->frame_count,
	};

	return setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request)) ? -errno : 0;
}

static int bind_interface(int fd, uint32_t ifindex)
{
	/*
	 * ETH_P_ALL taps come before bridges and tc; with ETH_P_IP a bridge port shows nothing.
	 */
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)ifindex,
	};
	int pending = 0;
	socklen_t length = sizeof(pending);

	if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return -errno;
	/* On an interface that is down bind succeeds, captures nothing, and leaves ENETDOWN here. */
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &pending, &length))
		return -errno;
	return -pending;
}

/* A socket that captures: everything on the interface, all of it dropped by its filter. */
static int open_closed(uint32_t ifindex, const struct sluice_ring *ring)
{
	/* Protocol 0: with any other it would capture every interface until it is bound. */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error;

	if (fd < 0)
		return -errno;
	error = socket_option(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2);
	if (!error && ring->vnet_header)
		error = socket_option(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
	/* Any value but 0: what does not fit its slot is queued whole instead of cut. */
	if (!error)
		error = socket_option(fd, SOL_PACKET, PACKET_COPY_THRESH, 1);
	if (!error)
		error = socket_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES);
	if (!error)
		error = socket_drop_all(fd);
	if (!error)
		error = set_ring(fd, ring);
	if (!error)
		error = bind_interface(fd, ifindex);
	if (!error)
		return fd;
	close(fd);
	return error;
}

/* One group for all, also for a single socket, so that the count makes no difference later. */
static int join_fanout(const int *fds, uint32_t count)
{
	const int first = (PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_UNIQUEID) << 16;
	int group = 0;
	socklen_t length = sizeof(group);
	int error = socket_option(fds[0], SOL_PACKET, PACKET_FANOUT, first);

	if (error)
		return error;
	if (getsockopt(fds[0], SOL_PACKET, PACKET_FANOUT, &group, &length))
		return -errno;
	for (uint32_t i = 1; i < count && !error; i++)
		error = socket_option(fds[i], SOL_PACKET, PACKET_FANOUT,
				      (group & 0xffff) | PACKET_FANOUT_HASH << 16);
	return error;
}

int sluice_shard_interface(int fd)
{
	struct sockaddr_ll address = { 0 };
	socklen_t length = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &length))
		return -errno;
	/* packet_notifier() makes it -1. */
	return address.sll_ifindex > 0 ? address.sll_ifindex : -ENODEV;
}

/* From here on frames enter the ring, and nobody can change which. */
static int admit(int fd, int filter_fd)
{
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &filter_fd, sizeof(filter_fd)))
		return -errno;
	return socket_lock_filter(fd);
}

int sluice_shards_open(uint32_t ifindex, uint32_t count, const struct sluice_ring *ring,
		       int filter_fd, int *fds)
{
	uint32_t opened = 0;
	int error = 0;

	if (ifindex == 0 || count == 0 || count > SLUICE_MAX_WORKERS || !ring || !fds)
		return -EINVAL;
	while (opened < count && !error) {
		int fd = open_closed(ifindex, ring);

		if (fd < 0)
			error = fd;
		else
			fds[opened++] = fd;
	}
	if (!error)
		error = join_fanout(fds, count);
	for (uint32_t i = 0; i < count && !error; i++)
		error = admit(fds[i], filter_fd);
	if (!error)
		return 0;
	while (opened) {
		close(fds[--opened]);
		fds[opened] = -1;
	}
	return error;
}
