/*
 * A relay in a box, for tests of the worker half on real packets: two network
 * namespaces, the supervisor half playing its part in this process, and one worker.
 *
 *        far namespace                     relay namespace
 *   in1  10.77.1.1/24  ════ veth ════  in0  10.77.1.2/24   captured
 *   out1 10.77.2.1/24  ════ veth ════  out0 10.77.2.2/24   sent from
 *
 * Needs root. Every step that fails ends the program with a message: a rig that does
 * not stand tests nothing.
 */
#ifndef SLUICE_RELAY_RIG_H
#define SLUICE_RELAY_RIG_H

#include <stdbool.h>
#include <sys/types.h>

#include "sluice.h"

#define RIG_WORKER_SLOT        3u
#define RIG_COUNTERS           16384u
#define RIG_INTERFACE_COUNTERS SLUICE_WORKER_COUNTERS
/* The egress socket of slot N sends from this port + N. */
#define RIG_SOURCE_PORT        7000u
#define RIG_OUT_ADDRESS        0x0a4d0202u
#define RIG_FAR_OUT_ADDRESS    0x0a4d0201u

struct rig {
	int relay_namespace, far_namespace;
	uint32_t in_ifindex, out_ifindex;
	int events;
	uint32_t connection;
	uint64_t sequence;
	int filter, filter_map;
	struct sluice_ring ring;
	int shard, shard_state; /* the supervisor's dups */
	int counters_fd;
	uint64_t *counters;
	struct sluice_worker *worker;
	uint64_t generation;
};

/* False: not root, the caller skips. */
bool rig_possible(void);
/* vnet: super-packets are described (PACKET_VNET_HDR). */
void rig_open(struct rig *rig, bool vnet);
void rig_close(struct rig *rig);
/* Ends the program unless it holds. */
void rig_require(bool holds, const char *what);
/* Moves the calling thread into a namespace. */
void rig_enter(int namespace);
/* Runs a command of the form of printf in the far (or relay) namespace. */
__attribute__((format(printf, 2, 3))) void rig_far(struct rig *rig, const char *format, ...);
__attribute__((format(printf, 2, 3))) void rig_relay(struct rig *rig, const char *format, ...);

/* Sends a command and waits for its ACK; returns what the ACK says. Takes no descriptors. */
int rig_command(struct rig *rig, void *message, uint32_t bytes, const int *fds, uint32_t fd_count);
/* Of a command that was sent otherwise: its sequence. */
uint64_t rig_await_ack(struct rig *rig);
void rig_attach(struct rig *rig, uint32_t shard);
/* For multicast; for unicast; one on which the kernel refuses UDP_SEGMENT. */
void rig_add_egress(struct rig *rig, uint32_t slot, uint32_t options);
void rig_add_egress_unicast(struct rig *rig, uint32_t slot);
void rig_add_egress_refusing(struct rig *rig, uint32_t slot);
/* One rule per group; outputs[] of all rules. Adds the interface record for in0. */
int rig_install(struct rig *rig, const struct sluice_rule_record *rules, uint32_t rule_count,
		const struct sluice_output_record *outputs, uint32_t output_count);
void rig_start_worker(struct rig *rig);
/* As a process of its own, which the caller ends. */
pid_t rig_start_worker_process(struct rig *rig);
/* Ends it and waits until the supervisor half has seen it go. */
void rig_stop_worker(struct rig *rig);
void rig_await_gone(struct rig *rig);
/* The supervisor half is gone, and another comes that the worker tells of its one shard. */
void rig_supervisor_dies(struct rig *rig);
void rig_supervisor_returns(struct rig *rig, uint32_t shard);

/* A rule 239.77.0.N:5000+N with counters of its own, and an output to 239.78.0.N:6000+N. */
struct sluice_rule_record rig_rule(const struct rig *rig, uint32_t number, uint32_t output_first,
				   uint32_t output_count);
struct sluice_output_record rig_output(const struct rig *rig, uint32_t number, uint32_t slot);
uint32_t rig_rule_counters(uint32_t number);
uint32_t rig_output_counters(uint32_t number);

uint64_t rig_counter(const struct rig *rig, uint32_t counter);
/* Waits up to 10 s for a counter to have a value; says what it is. */
uint64_t rig_await(struct rig *rig, uint32_t counter, uint64_t value);
void rig_print_lines(struct rig *rig);

#endif
