/* Frames on the far end of the pair, exactly as a test wants them. */
#ifndef SLUICE_WIRE_H
#define SLUICE_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define WIRE_FRAME_BYTES 16384u

struct wire_frame {
	size_t bytes;
	uint8_t frame[WIRE_FRAME_BYTES];
};

/* An AF_PACKET socket that sends on an interface of this thread's namespace and receives nothing. */
int wire_open(uint32_t ifindex);
void wire_send(int wire, const struct wire_frame *frame);

/*
 * Ethernet, IPv4 and UDP with right lengths and header checksum, UDP checksum 0, and a
 * payload that begins with `mark` in network order. The destination MAC is that of the
 * group, or the near end's for a unicast address.
 */
void wire_datagram(struct wire_frame *frame, uint32_t destination_be, uint16_t source_port,
		   uint32_t mark, size_t payload_bytes);
/* Puts a tag in front of what the frame carries now. */
void wire_add_tag(struct wire_frame *frame, uint16_t ethertype, uint16_t vlan);

#endif
