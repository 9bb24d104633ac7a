/*
 * Puts frames on the wire exactly as given, for tests that need what no IP stack
 * would send: one frame a line on stdin, in hexadecimal, from the Ethernet
 * header on. At RATE frames a second if it is given, else at once. Usage:
 * inject IFACE [RATE] < FRAMES. Needs CAP_NET_RAW.
 *
 * inject --tap IFACE < FRAMES makes the interface, which lasts as long as stdin, and
 * hands over the frames as a virtual machine does: each begins with its virtio_net_hdr.
 * Needs CAP_NET_ADMIN.
 */
#include <ctype.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FRAME_BYTES_MAX = 65536 };

static int nibble(int c)
{
	if (isdigit(c))
		return c - '0';
	c = tolower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Returns the frame's length, or -1 when the line is no hexadecimal text. */
static int decode(const char *line, unsigned char *frame)
{
	int bytes = 0;

	while (line[0] != '\0' && line[0] != '\n') {
		int high = nibble((unsigned char)line[0]);
		int low = high < 0 ? -1 : nibble((unsigned char)line[1]);

		if (low < 0 || bytes == FRAME_BYTES_MAX)
			return -1;
		frame[bytes++] = (unsigned char)(high << 4 | low);
		line += 2;
	}
	return bytes;
}

/* Frame number `index` is due index / rate seconds after `start`. */
static void wait_until_due(const struct timespec *start, long rate, long index)
{
	struct timespec due = *start;

	due.tv_sec += index / rate;
	due.tv_nsec += index % rate * 1000000000L / rate;
	if (due.tv_nsec >= 1000000000L) {
		due.tv_nsec -= 1000000000L;
		due.tv_sec++;
	}
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

static int open_tap(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	memcpy(request.ifr_name, name, strnlen(name, IF_NAMESIZE - 1));
	if (fd >= 0 && ioctl(fd, TUNSETIFF, &request) == 0)
		return fd;
	perror("inject: tap");
	return -1;
}

static int deliver_to_tap(const char *name)
{
	static char line[2 * FRAME_BYTES_MAX + 2];
	static unsigned char frame[FRAME_BYTES_MAX];
	int fd = open_tap(name);

	while (fd >= 0 && fgets(line, sizeof line, stdin) != NULL) {
		int bytes = decode(line, frame);

		if (bytes < 0 || write(fd, frame, (size_t)bytes) != bytes) {
			perror("inject: write to tap");
			close(fd);
			fd = -1;
		}
	}
	return fd < 0;
}

int main(int argc, char **argv)
{
	static char line[2 * FRAME_BYTES_MAX + 2];
	static unsigned char frame[FRAME_BYTES_MAX];
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_halen = 6 };
	const long rate = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
	struct timespec start;
	long index = 0;
	int fd;

	if (argc == 3 && strcmp(argv[1], "--tap") == 0)
		return deliver_to_tap(argv[2]);
	to.sll_ifindex = argc == 2 || rate > 0 ? (int)if_nametoindex(argv[1]) : 0;
	if (to.sll_ifindex == 0) {
		fputs("usage: inject IFACE [RATE] < FRAMES | inject --tap IFACE < FRAMES\n",
		      stderr);
		return 2;
	}
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		perror("inject: socket");
		return 1;
	}
	clock_gettime(CLOCK_MONOTONIC, &start);
	while (fgets(line, sizeof line, stdin) != NULL) {
		int bytes = decode(line, frame);

		if (bytes < 14) {
			fputs("inject: not a frame in hexadecimal\n", stderr);
			return 1;
		}
		if (rate > 0)
			wait_until_due(&start, rate, index++);
		memcpy(to.sll_addr, frame, 6);
		if (sendto(fd, frame, (size_t)bytes, 0, (struct sockaddr *)&to, sizeof to) !=
		    bytes) {
			perror("inject: sendto");
			return 1;
		}
	}
	close(fd);
	return 0;
}
