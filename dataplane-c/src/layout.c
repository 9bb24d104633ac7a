/*
 * What the binding compares at load: every size, offset and number of sluice.h
 * that it writes down a second time. A field that is missing here is one that
 * nobody checks, so add it with the field.
 */
#include "sluice.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAYOUT_BYTES 8192u

struct line {
	const char *name;
	size_t value;
};

#define STRUCTURE(type)                    \
	{                                  \
#type, sizeof(struct type) \
	}
#define FIELD(type, field)                                     \
	{                                                      \
#type "." #field, offsetof(struct type, field) \
	}
#define NUMBER(name)                  \
	{                             \
#name, (size_t)(name) \
	}

static const struct line lines[] = {
	STRUCTURE(sluice_rule_record),
	FIELD(sluice_rule_record, uid),
	FIELD(sluice_rule_record, input_ifindex),
	FIELD(sluice_rule_record, group_be),
	FIELD(sluice_rule_record, port_be),
	FIELD(sluice_rule_record, vlan),
	FIELD(sluice_rule_record, source_first),
	FIELD(sluice_rule_record, source_count),
	FIELD(sluice_rule_record, output_first),
	FIELD(sluice_rule_record, output_count),
	FIELD(sluice_rule_record, counter_index),
	FIELD(sluice_rule_record, reserved),

	STRUCTURE(sluice_source_record),
	FIELD(sluice_source_record, network_be),
	FIELD(sluice_source_record, prefix_bits),

	STRUCTURE(sluice_output_record),
	FIELD(sluice_output_record, key),
	FIELD(sluice_output_record, ifindex),
	FIELD(sluice_output_record, egress_slot),
	FIELD(sluice_output_record, destination_be),
	FIELD(sluice_output_record, source_be),
	FIELD(sluice_output_record, port_be),
	FIELD(sluice_output_record, ttl),
	FIELD(sluice_output_record, tos),
	FIELD(sluice_output_record, mtu),
	FIELD(sluice_output_record, counter_index),
	FIELD(sluice_output_record, flags),
	FIELD(sluice_output_record, reserved),

	STRUCTURE(sluice_interface_record),
	FIELD(sluice_interface_record, name),
	FIELD(sluice_interface_record, ifindex),
	FIELD(sluice_interface_record, counter_index),

	STRUCTURE(sluice_features),
	FIELD(sluice_features, kernel_major),
	FIELD(sluice_features, kernel_minor),
	FIELD(sluice_features, unique_fanout),
	FIELD(sluice_features, udp_segment),
	FIELD(sluice_features, vnet_udp),
	FIELD(sluice_features, ebpf_filter),
	FIELD(sluice_features, reserved),

	STRUCTURE(sluice_link),
	FIELD(sluice_link, name),
	FIELD(sluice_link, ifindex),
	FIELD(sluice_link, mtu),
	FIELD(sluice_link, flags),
	FIELD(sluice_link, carrier_ups),
	FIELD(sluice_link, mac),
	FIELD(sluice_link, address_count),
	FIELD(sluice_link, address_be),

	STRUCTURE(sluice_event),
	FIELD(sluice_event, kind),
	FIELD(sluice_event, connection),
	FIELD(sluice_event, pid),
	FIELD(sluice_event, at_us),
	FIELD(sluice_event, a),
	FIELD(sluice_event, b),

	STRUCTURE(sluice_ring),
	FIELD(sluice_ring, block_bytes),
	FIELD(sluice_ring, block_count),
	FIELD(sluice_ring, frame_bytes),
	FIELD(sluice_ring, frame_count),
	FIELD(sluice_ring, vnet_header),
	FIELD(sluice_ring, reserved),

	STRUCTURE(sluice_message),
	FIELD(sluice_message, kind),
	FIELD(sluice_message, bytes),
	FIELD(sluice_message, sequence),

	STRUCTURE(sluice_attach_shard),
	FIELD(sluice_attach_shard, message),
	FIELD(sluice_attach_shard, shard),
	FIELD(sluice_attach_shard, ifindex),
	FIELD(sluice_attach_shard, ring),

	STRUCTURE(sluice_detach_shard),
	FIELD(sluice_detach_shard, message),
	FIELD(sluice_detach_shard, shard),
	FIELD(sluice_detach_shard, reserved),

	STRUCTURE(sluice_egress_slot),
	FIELD(sluice_egress_slot, message),
	FIELD(sluice_egress_slot, slot),
	FIELD(sluice_egress_slot, ifindex),
	FIELD(sluice_egress_slot, options),
	FIELD(sluice_egress_slot, reserved),

	STRUCTURE(sluice_snapshot),
	FIELD(sluice_snapshot, table_generation),
	FIELD(sluice_snapshot, rule_count),
	FIELD(sluice_snapshot, output_count),
	FIELD(sluice_snapshot, interface_count),
	FIELD(sluice_snapshot, reserved),

	NUMBER(SLUICE_MAX_WORKERS),
	NUMBER(SLUICE_MAX_INTERFACES),
	NUMBER(SLUICE_MAX_RULES),
	NUMBER(SLUICE_MAX_OUTPUTS_PER_RULE),
	NUMBER(SLUICE_MAX_OUTPUTS),
	NUMBER(SLUICE_MAX_SOURCES),
	NUMBER(SLUICE_MAX_EGRESS),
	NUMBER(SLUICE_MAX_COUNTERS),
	NUMBER(SLUICE_MAX_MESSAGE_BYTES),
	NUMBER(SLUICE_INTERFACE_NAME_BYTES),
	NUMBER(SLUICE_MAX_ADDRESSES_PER_LINK),
	NUMBER(SLUICE_DROP_COUNT),
	NUMBER(SLUICE_RULE_COUNTERS),
	NUMBER(SLUICE_RULE_DROPPED),
	NUMBER(SLUICE_FAILURE_COUNT),
	NUMBER(SLUICE_OUTPUT_COUNTERS),
	NUMBER(SLUICE_OUTPUT_FAILED_BY_REASON),
	NUMBER(SLUICE_INTERFACE_COUNTERS),
	NUMBER(SLUICE_INTERFACE_DROPPED),
	NUMBER(SLUICE_WORKER_COUNTERS),
	NUMBER(SLUICE_WORKER_BATCH_FRAMES),
	NUMBER(SLUICE_WORKER_SEGMENTS_PER_SEND),
	NUMBER(SLUICE_WORKER_HEARTBEAT_NS),
	NUMBER(SLUICE_HISTOGRAM_STEPS),
};

static char text[LAYOUT_BYTES];
static pthread_once_t written = PTHREAD_ONCE_INIT;

static void write_text(void)
{
	size_t used = 0;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		int length = snprintf(text + used, sizeof(text) - used, "%s=%zu\n", lines[i].name,
				      lines[i].value);

		/* A programmer's error: too many lines for the buffer. */
		if (length < 0 || (size_t)length >= sizeof(text) - used)
			abort();
		used += (size_t)length;
	}
}

const char *sluice_layout(void)
{
	pthread_once(&written, write_text);
	return text;
}

uint32_t sluice_abi_version(void)
{
	return SLUICE_ABI_VERSION;
}

const char *sluice_error_text(int error)
{
	const char *description = strerrordesc_np(error < 0 ? -error : error);

	return description ? description : "unknown error";
}
