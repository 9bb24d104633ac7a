/*
 * The capture filter: an eBPF program of type socket filter, written out here
 * instruction by instruction, because a compiler for it would be one more thing
 * to install on a relay host.
 *
 * A socket filter on an AF_PACKET SOCK_RAW socket reads from the link-layer header
 * on. The outermost VLAN tag is already in the metadata, so what is at offset 12 is
 *
 *   0800                 IPv4; destination at 30
 *   8100 or 88a8, 0800   a tag left in the frame; destination at 34
 *   two of them, 0800    destination at 38
 *
 * The worker counts the frames with a second tag as drops, by name: that is why they
 * pass. A load beyond the end of the frame ends the program with "drop", so a frame
 * that is too short to have a destination does not pass.
 *
 * A ring without virtio_net_hdr does not say where the datagrams of a super-packet end. Of
 * those its filter passes the headers alone: the worker counts them as TRUNCATED, where it
 * would take a short one for a single datagram.
 */
#include "sluice.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define VERIFIER_LOG_BYTES 16384u
#define MAX_INSTRUCTIONS   64u

static char verifier_log[VERIFIER_LOG_BYTES];

const char *sluice_filter_log(void)
{
	return verifier_log;
}

static int bpf(int command, union bpf_attr *attribute)
{
	/* The descriptors it returns are CLOEXEC. */
	long result = syscall(SYS_bpf, command, attribute, sizeof(*attribute));

	return result < 0 ? -errno : (int)result;
}

static int create_map(uint32_t capacity)
{
	union bpf_attr attribute;

	memset(&attribute, 0, sizeof(attribute));
	attribute.map_type = BPF_MAP_TYPE_HASH;
	attribute.key_size = sizeof(uint32_t);
	attribute.value_size = sizeof(uint32_t);
	attribute.max_entries = capacity;
	memcpy(attribute.map_name, "sluice_groups", sizeof("sluice_groups"));
	return bpf(BPF_MAP_CREATE, &attribute);
}

/* ---- the instructions that this program needs ---- */

#define OP(operation, destination, source, offset, value)                           \
	{                                                                           \
		.code = (operation), .dst_reg = (destination), .src_reg = (source), \
		.off = (offset), .imm = (value)                                     \
	}
#define MOVE(destination, source)       OP(BPF_ALU64 | BPF_MOV | BPF_X, destination, source, 0, 0)
#define MOVE_IMM(destination, value)    OP(BPF_ALU64 | BPF_MOV | BPF_K, destination, 0, 0, value)
#define ADD_IMM(destination, value)     OP(BPF_ALU64 | BPF_ADD | BPF_K, destination, 0, 0, value)
#define TO_BIG_ENDIAN(destination)      OP(BPF_ALU | BPF_END | BPF_TO_BE, destination, 0, 0, 32)
/* R0 = bytes of the frame, in host order. Wants the context in R6; R1 to R5 are lost. */
#define LOAD_FRAME(size, offset)        OP(BPF_LD | (size) | BPF_ABS, 0, 0, 0, offset)
#define LOAD(destination, base, offset) OP(BPF_LDX | BPF_MEM | BPF_W, destination, base, offset, 0)
#define STORE(base, offset, source)     OP(BPF_STX | BPF_MEM | BPF_W, base, source, offset, 0)
#define JUMP(to)                        OP(BPF_JMP | BPF_JA, 0, 0, to, 0)
#define JUMP_EQUAL(reg, value, to)      OP(BPF_JMP | BPF_JEQ | BPF_K, reg, 0, to, value)
#define JUMP_NOT_EQUAL(reg, value, to)  OP(BPF_JMP | BPF_JNE | BPF_K, reg, 0, to, value)
#define CALL(function)                  OP(BPF_JMP | BPF_CALL, 0, 0, 0, function)
#define EXIT                            OP(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/* Stand-ins for distances, replaced when the parts are put together. */
#define TO_LOOKUP INT16_MAX
#define TO_DROP   (INT16_MAX - 1)

/* Behind `tags` tags: an IPv4 frame's destination into R0 and on to the lookup. */
#define TAKE_DESTINATION(tags)                                                      \
	LOAD_FRAME(BPF_H, 12 + 4 * (tags)), JUMP_NOT_EQUAL(BPF_REG_0, ETH_P_IP, 2), \
		LOAD_FRAME(BPF_W, 30 + 4 * (tags)), JUMP(TO_LOOKUP)
#define CONTINUE_IF_TAG \
	JUMP_EQUAL(BPF_REG_0, ETH_P_8021Q, 1), JUMP_NOT_EQUAL(BPF_REG_0, ETH_P_8021AD, TO_DROP)

static const struct bpf_insn find_destination[] = {
	MOVE(BPF_REG_6, BPF_REG_1),
	/* Own transmissions, and others' unicast that a promiscuous NIC shows. */
	LOAD(BPF_REG_7, BPF_REG_6, offsetof(struct __sk_buff, pkt_type)),
	JUMP_EQUAL(BPF_REG_7, PACKET_OUTGOING, TO_DROP),
	JUMP_EQUAL(BPF_REG_7, PACKET_OTHERHOST, TO_DROP),
	TAKE_DESTINATION(0),
	CONTINUE_IF_TAG,
	TAKE_DESTINATION(1),
	CONTINUE_IF_TAG,
	TAKE_DESTINATION(2),
	JUMP(TO_DROP),
};

/* The map's descriptor goes into the first, which is two instructions long. */
static const struct bpf_insn lookup[] = {
	OP(BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, 0),
	OP(0, 0, 0, 0, 0),
	TO_BIG_ENDIAN(BPF_REG_0),
	STORE(BPF_REG_10, -4, BPF_REG_0),
	MOVE(BPF_REG_2, BPF_REG_10),
	ADD_IMM(BPF_REG_2, -4),
	CALL(BPF_FUNC_map_lookup_elem),
	JUMP_EQUAL(BPF_REG_0, 0, TO_DROP),
	MOVE_IMM(BPF_REG_0, -1), /* all bytes of the frame */
};

/* Ethernet, IPv4, UDP: shorter than any super-packet. */
#define HEADER_BYTES (14 + 20 + 8)

/* Comes between lookup and EXIT, with R0 = all bytes. */
static const struct bpf_insn cut_super_packets[] = {
	LOAD(BPF_REG_7, BPF_REG_6, offsetof(struct __sk_buff, gso_size)),
	JUMP_EQUAL(BPF_REG_7, 0, 1),
	MOVE_IMM(BPF_REG_0, HEADER_BYTES),
};

static const struct bpf_insn pass[] = { EXIT };

static const struct bpf_insn drop[] = {
	MOVE_IMM(BPF_REG_0, 0),
	EXIT,
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static uint32_t assemble(int map_fd, bool vnet_header,
			 struct bpf_insn program[static MAX_INSTRUCTIONS])
{
	const uint32_t at_lookup = LENGTH(find_destination);
	const uint32_t at_cut = at_lookup + LENGTH(lookup);
	const uint32_t at_pass = at_cut + (vnet_header ? 0 : LENGTH(cut_super_packets));
	const uint32_t at_drop = at_pass + LENGTH(pass);
	const uint32_t count = at_drop + LENGTH(drop);

	_Static_assert(LENGTH(find_destination) + LENGTH(lookup) + LENGTH(cut_super_packets) +
				       LENGTH(pass) + LENGTH(drop) <=
			       MAX_INSTRUCTIONS,
		       "program too long");
	memcpy(program, find_destination, sizeof(find_destination));
	memcpy(program + at_lookup, lookup, sizeof(lookup));
	if (!vnet_header)
		memcpy(program + at_cut, cut_super_packets, sizeof(cut_super_packets));
	memcpy(program + at_pass, pass, sizeof(pass));
	memcpy(program + at_drop, drop, sizeof(drop));
	program[at_lookup].imm = map_fd;
	for (uint32_t i = 0; i < count; i++) {
		/* A distance is counted from the next instruction. */
		if (program[i].off == TO_LOOKUP)
			program[i].off = (int16_t)(at_lookup - i - 1);
		else if (program[i].off == TO_DROP)
			program[i].off = (int16_t)(at_drop - i - 1);
	}
	return count;
}

static int load(const struct bpf_insn *program, uint32_t count, bool with_log)
{
	union bpf_attr attribute;

	memset(&attribute, 0, sizeof(attribute));
	attribute.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	attribute.insns = (uintptr_t)program;
	attribute.insn_cnt = count;
	attribute.license = (uintptr_t) "Apache-2.0";
	if (with_log) {
		attribute.log_level = 1;
		attribute.log_buf = (uintptr_t)verifier_log;
		attribute.log_size = VERIFIER_LOG_BYTES;
	}
	memcpy(attribute.prog_name, "sluice_capture", sizeof("sluice_capture"));
	return bpf(BPF_PROG_LOAD, &attribute);
}

int sluice_filter_create(uint32_t capacity, uint32_t vnet_header, int *map_fd)
{
	struct bpf_insn program[MAX_INSTRUCTIONS];
	uint32_t count;
	int map, fd;

	if (!map_fd || capacity == 0 || vnet_header > 1)
		return -EINVAL;
	verifier_log[0] = '\0';
	map = create_map(capacity);
	if (map < 0)
		return map;
	count = assemble(map, vnet_header, program);
	fd = load(program, count, false);
	/* The log is written only for who needs it: it makes loading slower and can itself fail. */
	if (fd < 0)
		fd = load(program, count, true);
	if (fd < 0) {
		close(map);
		return fd;
	}
	*map_fd = map;
	return fd;
}

int sluice_filter_add(int map_fd, uint32_t address_be)
{
	uint32_t present = 1;
	union bpf_attr attribute;

	memset(&attribute, 0, sizeof(attribute));
	attribute.map_fd = (uint32_t)map_fd;
	attribute.key = (uintptr_t)&address_be;
	attribute.value = (uintptr_t)&present;
	attribute.flags = BPF_ANY;
	return bpf(BPF_MAP_UPDATE_ELEM, &attribute);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the kernel writes there. */
int sluice_filter_list(int map_fd, uint32_t *addresses_be, uint32_t capacity)
{
	uint32_t count = 0;
	union bpf_attr attribute;

	memset(&attribute, 0, sizeof(attribute));
	attribute.map_fd = (uint32_t)map_fd;
	while (count < capacity) {
		int error;

		attribute.key = count ? (uintptr_t)&addresses_be[count - 1] : 0;
		attribute.next_key = (uintptr_t)&addresses_be[count];
		error = bpf(BPF_MAP_GET_NEXT_KEY, &attribute);
		if (error == -ENOENT)
			break;
		if (error < 0)
			return error;
		count++;
	}
	return (int)count;
}

int sluice_filter_remove(int map_fd, uint32_t address_be)
{
	union bpf_attr attribute;

	memset(&attribute, 0, sizeof(attribute));
	attribute.map_fd = (uint32_t)map_fd;
	attribute.key = (uintptr_t)&address_be;
	return bpf(BPF_MAP_DELETE_ELEM, &attribute);
}
