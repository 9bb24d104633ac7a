/*
 * Two network namespaces of this process, for tests of the supervisor half:
 *
 *      far namespace                     near namespace (this thread's)
 *   far0 10.66.0.1/24  ════ veth ════  near0 10.66.0.2/24, 10.66.0.3/24 (secondary)
 *
 * They end with the process. Needs root. Every step that fails ends the program with
 * a message.
 */
#ifndef SLUICE_VETH_PAIR_H
#define SLUICE_VETH_PAIR_H

#include <stdbool.h>
#include <stdint.h>

#define FAR_ADDRESS         "10.66.0.1"
#define NEAR_ADDRESS        "10.66.0.2"
#define NEAR_SECOND_ADDRESS "10.66.0.3"
#define FAR_MAC_BYTES                  \
	{                              \
		0x02, 0, 0, 0, 0, 0x01 \
	}
#define NEAR_MAC_BYTES                 \
	{                              \
		0x02, 0, 0, 0, 0, 0x02 \
	}

struct veth_pair {
	int near_namespace, far_namespace;
	uint32_t near_ifindex, far_ifindex;
};

/* False: not root, the caller skips. */
bool veth_pair_possible(void);
void veth_pair_open(struct veth_pair *pair);

/* Where this thread's next sockets are made. */
void enter_far(const struct veth_pair *pair);
void enter_near(const struct veth_pair *pair);

/* Runs ip(8), in the form of printf and without quotes, in this thread's namespace. */
__attribute__((format(printf, 1, 2))) void ip(const char *format, ...);
/* Runs `ip -batch` on this text. */
void ip_batch(const char *commands);

/* An address or group in network order. */
uint32_t be(const char *dotted);

/* Ends the program: a test that can't be set up tests nothing. */
__attribute__((noreturn, format(printf, 1, 2))) void give_up(const char *format, ...);

/* As many descriptors as this process has open. */
unsigned count_descriptors(void);

#endif
