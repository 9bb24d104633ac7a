/* Parsing: what is a datagram, what is dropped and why, and that no byte beyond the frame is read. */
#include "expect.h"
#include "frame_bytes.h"
#include "sample.h"

#include <arpa/inet.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>

#define GSO_UDP_L4 5

/* Parses from memory that ends where the frame ends, so that ASan sees a byte too far. */
static enum sluice_drop parse(struct sample *sample, struct datagrams *datagrams)
{
	const size_t captured = sample->frame.captured;
	uint8_t *exact = malloc(captured ? captured : 1);
	enum sluice_drop drop;

	memcpy(exact, sample->bytes, captured);
	sample->frame.bytes = exact;
	drop = frame_parse(&sample->frame, datagrams);
	if (drop == FRAME_OK) {
		EXPECT(datagrams->payload >= exact);
		EXPECT(datagrams->payload + datagrams->payload_bytes <= exact + captured);
		/* The caller looks at the sample's own copy. */
		datagrams->payload = sample->bytes + (datagrams->payload - exact);
	}
	free(exact);
	return drop;
}

static enum sluice_drop drop_of(struct sample *sample)
{
	struct datagrams datagrams;

	return parse(sample, &datagrams);
}

static void a_datagram_is_described(void)
{
	for (uint16_t size = 0; size <= 1472; size++) {
		struct sample sample = sample_of(size);
		struct datagrams datagrams;

		EXPECT_EQUAL(parse(&sample, &datagrams), FRAME_OK);
		EXPECT(datagrams.payload == sample.bytes + PAYLOAD);
		EXPECT_EQUAL(datagrams.payload_bytes, size);
		EXPECT_EQUAL(datagrams.segment_bytes, size);
		EXPECT_EQUAL(datagrams.count, 1);
		EXPECT_EQUAL(datagrams.source_be, htonl(0x0a000005u));
		EXPECT_EQUAL(datagrams.destination_be, htonl(0xef010101u));
		EXPECT_EQUAL(datagrams.port_be, htons(5001));
		EXPECT_EQUAL(datagrams.vlan, 0);
	}
}

static void every_truncation_is_dropped_by_its_name(void)
{
	for (uint32_t captured = 0; captured < PAYLOAD + 100; captured++) {
		struct sample cut = sample_of(100);
		struct sample shorter = cut;

		/* Cut by the capture: the wire had more. */
		cut.frame.captured = captured;
		EXPECT_EQUAL(drop_of(&cut),
			     captured < UDP ? SLUICE_DROP_SHORT_FRAME : SLUICE_DROP_TRUNCATED);
		/* Sent like this. */
		shorter.frame.captured = captured;
		shorter.frame.length = captured;
		EXPECT_EQUAL(drop_of(&shorter),
			     captured < UDP ? SLUICE_DROP_SHORT_FRAME : SLUICE_DROP_BAD_IP_HEADER);
	}
}

static void padding_is_no_payload(void)
{
	struct sample sample = sample_of(5);
	struct datagrams datagrams;

	sample.frame.captured = 60;
	sample.frame.length = 60;
	memset(sample.bytes + PAYLOAD + 5, 0xee, 60 - PAYLOAD - 5);
	EXPECT_EQUAL(parse(&sample, &datagrams), FRAME_OK);
	EXPECT_EQUAL(datagrams.payload_bytes, 5);
}

static void bad_ip_headers_are_dropped(void)
{
	for (unsigned first = 0; first < 256; first++) {
		struct sample sample = sample_of(64);
		enum sluice_drop expected = FRAME_OK;

		sample.bytes[IP] = (uint8_t)first;
		if (first >> 4 != 4 || (first & 15) < 5) {
			expected = SLUICE_DROP_BAD_IP_HEADER;
		} else {
			/* What lies there as options is the UDP header: 4000 is no option of any length. */
			seal_ip(sample.bytes + IP);
			if ((first & 15) > 5)
				expected = SLUICE_DROP_BAD_IP_HEADER;
		}
		EXPECT_EQUAL(drop_of(&sample), expected);
	}
	for (uint16_t total = 0; total < 28; total++) {
		struct sample sample = sample_of(64);

		put16(sample.bytes + IP + 2, total);
		seal_ip(sample.bytes + IP);
		EXPECT_EQUAL(drop_of(&sample),
			     total < 20 ? SLUICE_DROP_BAD_IP_HEADER : SLUICE_DROP_BAD_UDP_LENGTH);
	}
}

static void ip_options_are_stepped_over(void)
{
	static const uint8_t valid[][12] = {
		{ 1, 1, 1, 1 },                           /* no-operation */
		{ 148, 4, 0, 0 },                         /* router alert */
		{ 7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0 },     /* record route, and the end */
		{ 1, 68, 8, 5, 0, 0, 0, 0, 0, 0, 0, 99 }, /* timestamp; behind the end is nothing */
		{ 222, 2, 223, 10 },                      /* of nobody's, one empty */
	};
	uint8_t longest[40];

	for (size_t at = 0; at < sizeof(valid) / sizeof(valid[0]); at++) {
		struct sample sample = sample_with_options(valid[at], 12);
		struct datagrams datagrams;

		EXPECT_EQUAL(parse(&sample, &datagrams), FRAME_OK);
		EXPECT(datagrams.payload == sample.bytes + PAYLOAD + 12);
		EXPECT_EQUAL(datagrams.payload_bytes, 64);
	}
	memset(longest, 1, sizeof(longest));
	for (uint32_t count = 0; count <= sizeof(longest); count += 4) {
		struct sample sample = sample_with_options(longest, count);

		EXPECT_EQUAL(drop_of(&sample), FRAME_OK);
	}
}

static void options_that_do_not_fit_are_dropped(void)
{
	static const uint8_t invalid[][4] = {
		{ 148, 0, 0, 0 },   /* no length at all */
		{ 148, 1, 0, 0 },   /* shorter than type and length */
		{ 148, 5, 0, 0 },   /* longer than the header */
		{ 1, 68, 255, 5 },  /* much longer */
		{ 1, 1, 1, 148 },   /* the length is missing */
		{ 131, 3, 4, 0 },   /* loose source route */
		{ 137, 3, 4, 0 },   /* strict source route */
		{ 1, 131, 3, 200 }, /* behind another */
	};

	for (size_t at = 0; at < sizeof(invalid) / sizeof(invalid[0]); at++) {
		struct sample sample = sample_with_options(invalid[at], 4);

		EXPECT_EQUAL(drop_of(&sample), SLUICE_DROP_BAD_IP_HEADER);
	}
}

static void udp_lengths_are_checked_against_the_packet(void)
{
	for (uint16_t length = 0; length <= 74; length++) {
		struct sample sample = sample_of(64);
		struct datagrams datagrams;
		enum sluice_drop drop;

		put16(sample.bytes + UDP + 4, length);
		put16(sample.bytes + UDP + 6, 0);
		drop = parse(&sample, &datagrams);
		if (length < 8 || length > 72) {
			EXPECT_EQUAL(drop, SLUICE_DROP_BAD_UDP_LENGTH);
		} else {
			EXPECT_EQUAL(drop, FRAME_OK);
			EXPECT_EQUAL(datagrams.payload_bytes, length - 8);
		}
	}
}

static void fragments_are_dropped(void)
{
	static const uint16_t fragments[] = { 0x2000, 0x2001, 0x0001, 0x1fff, 0x6000 };

	for (size_t at = 0; at < sizeof(fragments) / sizeof(fragments[0]); at++) {
		struct sample sample = sample_of(64);

		put16(sample.bytes + IP + 6, fragments[at]);
		seal_ip(sample.bytes + IP);
		EXPECT_EQUAL(drop_of(&sample), SLUICE_DROP_FRAGMENT);
	}
}

static void other_protocols_are_dropped(void)
{
	struct sample tcp = sample_of(64);
	struct sample arp = sample_of(64);

	tcp.bytes[IP + 9] = 6;
	seal_ip(tcp.bytes + IP);
	EXPECT_EQUAL(drop_of(&tcp), SLUICE_DROP_NOT_UDP);
	put16(arp.bytes + 12, 0x0806);
	EXPECT_EQUAL(drop_of(&arp), SLUICE_DROP_NOT_UDP);
}

static void a_tag_in_the_metadata_or_in_the_frame_is_the_vlan(void)
{
	static const uint16_t ethertypes[] = { 0x8100, 0x88a8 };
	struct datagrams datagrams;
	struct sample sample = sample_of(64);

	sample.frame.vlan_valid = true;
	sample.frame.vlan_tci = 0xe007; /* priority 7, id 7 */
	EXPECT_EQUAL(parse(&sample, &datagrams), FRAME_OK);
	EXPECT_EQUAL(datagrams.vlan, 7);

	for (unsigned at = 0; at < 2; at++) {
		sample = sample_of(64);
		sample_insert_tag(&sample, ethertypes[at], 0xe00c);
		EXPECT_EQUAL(parse(&sample, &datagrams), FRAME_OK);
		EXPECT_EQUAL(datagrams.vlan, 12);
		EXPECT_EQUAL(datagrams.payload_bytes, 64);
		EXPECT(memcmp(datagrams.payload, sample_of(64).bytes + PAYLOAD, 64) == 0);
	}

	/* A tag that says only a priority is no VLAN. */
	sample = sample_of(64);
	sample.frame.vlan_valid = true;
	sample.frame.vlan_tci = 0xa000;
	EXPECT_EQUAL(parse(&sample, &datagrams), FRAME_OK);
	EXPECT_EQUAL(datagrams.vlan, 0);

	/* A value without the flag means nothing. */
	sample.frame.vlan_valid = false;
	sample.frame.vlan_tci = 7;
	EXPECT_EQUAL(parse(&sample, &datagrams), FRAME_OK);
	EXPECT_EQUAL(datagrams.vlan, 0);
}

static void two_tags_are_dropped(void)
{
	struct sample one_each = sample_of(64);
	struct sample both_inside = sample_of(64);

	sample_insert_tag(&one_each, 0x8100, 5);
	both_inside = one_each;
	one_each.frame.vlan_valid = true;
	EXPECT_EQUAL(drop_of(&one_each), SLUICE_DROP_DOUBLE_TAGGED);
	sample_insert_tag(&both_inside, 0x88a8, 6);
	EXPECT_EQUAL(drop_of(&both_inside), SLUICE_DROP_DOUBLE_TAGGED);
	/* Cut inside the tag. */
	both_inside.frame.captured = 16;
	both_inside.frame.length = 16;
	EXPECT_EQUAL(drop_of(&both_inside), SLUICE_DROP_SHORT_FRAME);
}

static void each_wrong_bit_fails_a_checksum(void)
{
	for (uint32_t bit = IP * 8; bit < (PAYLOAD + 33) * 8; bit++) {
		struct sample sample = sample_of(33);

		sample.bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		EXPECT(drop_of(&sample) != FRAME_OK);
	}
}

static void the_ip_checksum_is_always_verified(void)
{
	struct sample sample = sample_of(64);

	sample.frame.checksum_vouched = true;
	sample.bytes[IP + 8] = 15;
	EXPECT_EQUAL(drop_of(&sample), SLUICE_DROP_BAD_IP_CHECKSUM);
}

static void the_udp_checksum_is_verified_unless_vouched_for(void)
{
	struct sample sample = sample_of(64);

	sample.bytes[PAYLOAD] ^= 1;
	EXPECT_EQUAL(drop_of(&sample), SLUICE_DROP_BAD_UDP_CHECKSUM);
	sample.frame.checksum_vouched = true;
	EXPECT_EQUAL(drop_of(&sample), FRAME_OK);
	/* 0: the sender made none (RFC 768). */
	sample.frame.checksum_vouched = false;
	put16(sample.bytes + UDP + 6, 0);
	EXPECT_EQUAL(drop_of(&sample), FRAME_OK);
}

static void a_super_packet_is_its_datagrams(void)
{
	struct {
		uint8_t type;
		uint16_t segment_bytes;
		enum sluice_drop drop;
		uint32_t count;
		uint32_t expected_bytes;
	} cases[] = {
		{ GSO_UDP_L4, 100, FRAME_OK, 10, 100 },
		{ GSO_UDP_L4, 300, FRAME_OK, 4, 300 },
		{ GSO_UDP_L4, 999, FRAME_OK, 2, 999 },
		{ GSO_UDP_L4, 1000, FRAME_OK, 1, 1000 },
		{ GSO_UDP_L4, 60000, FRAME_OK, 1, 1000 },
		{ GSO_UDP_L4, 8, FRAME_OK, 125, 8 },
		{ GSO_UDP_L4, 7, SLUICE_DROP_BAD_SEGMENT_SIZE, 0, 0 }, /* 143 of them */
		{ GSO_UDP_L4, 0, SLUICE_DROP_BAD_SEGMENT_SIZE, 0, 0 },
		{ VIRTIO_NET_HDR_GSO_TCPV4, 100, SLUICE_DROP_BAD_SEGMENT_SIZE, 0, 0 },
		{ VIRTIO_NET_HDR_GSO_UDP, 100, FRAME_OK, 1, 1000 },
		{ VIRTIO_NET_HDR_GSO_NONE, 100, FRAME_OK, 1, 1000 },
	};

	for (size_t at = 0; at < sizeof(cases) / sizeof(cases[0]); at++) {
		struct sample sample = sample_of(1000);
		struct datagrams datagrams;

		sample.frame.gso_type = cases[at].type;
		sample.frame.gso_bytes = cases[at].segment_bytes;
		EXPECT_EQUAL(parse(&sample, &datagrams), cases[at].drop);
		if (cases[at].drop != FRAME_OK)
			continue;
		EXPECT_EQUAL(datagrams.count, cases[at].count);
		EXPECT_EQUAL(datagrams.segment_bytes, cases[at].expected_bytes);
		EXPECT_EQUAL(datagrams.payload_bytes, 1000);
	}
}

/* Any bytes: whatever comes out lies inside the frame (parse() checks). */
static void noise_never_leaves_the_frame(void)
{
	uint64_t state = 88172645463325252u;

	for (unsigned round = 0; round < 200000; round++) {
		struct sample sample = sample_of(100);

		for (unsigned change = 0; change < 4; change++) {
			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17;
			sample.bytes[12 + state % 40] = (uint8_t)(state >> 32);
		}
		sample.frame.captured = (uint32_t)(state >> 40) % (PAYLOAD + 101);
		sample.frame.vlan_valid = state & 1;
		sample.frame.checksum_vouched = true;
		sample.frame.gso_type = state & 2 ? GSO_UDP_L4 : 0;
		sample.frame.gso_bytes = (uint16_t)(state >> 20);
		drop_of(&sample);
	}
}

int main(void)
{
	a_datagram_is_described();
	every_truncation_is_dropped_by_its_name();
	padding_is_no_payload();
	bad_ip_headers_are_dropped();
	ip_options_are_stepped_over();
	options_that_do_not_fit_are_dropped();
	udp_lengths_are_checked_against_the_packet();
	fragments_are_dropped();
	other_protocols_are_dropped();
	a_tag_in_the_metadata_or_in_the_frame_is_the_vlan();
	two_tags_are_dropped();
	each_wrong_bit_fails_a_checksum();
	the_ip_checksum_is_always_verified();
	the_udp_checksum_is_verified_unless_vouched_for();
	a_super_packet_is_its_datagrams();
	noise_never_leaves_the_frame();
	return failures ? 1 : 0;
}
