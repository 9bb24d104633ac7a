/*
 * What a worker says to the supervisor, on the same SEQPACKET connection that
 * carries the commands of sluice.h the other way. Both ends are in this library,
 * so it is no part of the ABI; SLUICE_ABI_VERSION in HELLO covers it.
 *
 *   worker                              supervisor (events.c)
 *   connect ──────────────────────────▶ SO_PEERCRED checked, else closed
 *   REPORT_HELLO slot, ABI version ───▶ SLUICE_EVENT_HELLO
 *   REPORT_HOLDS shard, n times ──────▶ SLUICE_EVENT_HOLDS: it had another supervisor before
 *           ◀────────────────────────── commands
 *   REPORT_ACK sequence, result ──────▶ SLUICE_EVENT_ACK
 *   REPORT_FAILED -errno ─────────────▶ SLUICE_EVENT_FAILED
 *   REPORT_DEAF shard ────────────────▶ SLUICE_EVENT_DEAF
 *   close ────────────────────────────▶ SLUICE_EVENT_GONE
 *
 * HELLO comes first and once; anything else, or another length, ends the connection.
 */
#ifndef SLUICE_CHANNEL_H
#define SLUICE_CHANNEL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/* As many descriptors as one message may carry. */
#define CHANNEL_MAX_FDS 4u

enum report_kind {
	/* a = worker slot, b = SLUICE_ABI_VERSION | how many HOLDS follow << 32 */
	REPORT_HELLO = 0x101,
	REPORT_ACK = 0x102,    /* a = sequence of the command, b = 0 or -errno (as u64) */
	REPORT_FAILED = 0x103, /* a = -errno (as u64): the packet thread is about to end */
	REPORT_HOLDS = 0x104,  /* a = a shard that it drives */
	REPORT_DEAF = 0x105    /* a = a shard whose ring takes nothing any more */
};

struct report {
	uint32_t kind;  /* enum report_kind */
	uint32_t bytes; /* sizeof(struct report) */
	uint64_t a;
	uint64_t b;
}; /* 24 bytes */

/*
 * The abstract address of that name: no file, seen only inside the network
 * namespace. 0, or -EINVAL for an empty or too long name.
 */
int channel_address(const char *name, struct sockaddr_un *address, socklen_t *length);

#endif
