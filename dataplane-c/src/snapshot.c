/* A worker's labels and counters as columns, for its process to publish. */
#include <string.h>

#include "counters.h"
#include "worker.h"

static int64_t snapshot_bytes(const struct table_header *header)
{
	return (int64_t)sizeof(struct sluice_snapshot) +
	       (int64_t)header->rule_count * (16 + SLUICE_RULE_COUNTERS * 8) +
	       (int64_t)header->output_count * (8 + 8 + SLUICE_OUTPUT_COUNTERS * 8) +
	       (int64_t)header->interface_count *
		       (SLUICE_INTERFACE_NAME_BYTES + SLUICE_INTERFACE_COUNTERS * 8) +
	       SLUICE_WORKER_COUNTERS * 8;
}

static uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t count)
{
	memcpy(at, bytes, count);
	return at + count;
}

/* One atomic read each: the packet thread goes on counting meanwhile. */
static uint8_t *put_block(uint8_t *at, const uint64_t *counters, uint32_t count)
{
	for (uint32_t index = 0; index < count; index++) {
		uint64_t value = counter_read(&counters[index]);

		at = put_bytes(at, &value, sizeof(value));
	}
	return at;
}

static uint8_t *put_rules(uint8_t *at, const struct table *table, const uint64_t *counters)
{
	const uint32_t count = table->header->rule_count;

	for (uint32_t row = 0; row < count; row++)
		at = put_bytes(at, table->rules[row].uid, sizeof(table->rules[row].uid));
	for (uint32_t row = 0; row < count; row++)
		at = put_block(at, counters + table->rules[row].counter_index,
			       SLUICE_RULE_COUNTERS);
	return at;
}

/* Each output belongs to exactly one rule (sluice_table_build). */
static uint8_t *put_outputs(uint8_t *at, const struct table *table, const uint64_t *counters)
{
	const uint32_t count = table->header->output_count;

	for (uint64_t row = 0; row < table->header->rule_count; row++) {
		const struct sluice_rule_record *rule = &table->rules[row];

		for (uint32_t output = 0; output < rule->output_count; output++)
			memcpy(at + ((size_t)rule->output_first + output) * 8, &row, 8);
	}
	at += (size_t)count * 8;
	for (uint32_t row = 0; row < count; row++)
		at = put_bytes(at, &table->outputs[row].key, 8);
	for (uint32_t row = 0; row < count; row++)
		at = put_block(at, counters + table->outputs[row].counter_index,
			       SLUICE_OUTPUT_COUNTERS);
	return at;
}

static uint8_t *put_interfaces(uint8_t *at, const struct table *table, const uint64_t *counters)
{
	const uint32_t count = table->header->interface_count;

	for (uint32_t row = 0; row < count; row++)
		at = put_bytes(at, table->interfaces[row].name, SLUICE_INTERFACE_NAME_BYTES);
	for (uint32_t row = 0; row < count; row++)
		at = put_block(at, counters + table->interfaces[row].counter_index,
			       SLUICE_INTERFACE_COUNTERS);
	return at;
}

static void copy(const struct sluice_worker *worker, uint8_t *at)
{
	const struct table *table = &worker->table;
	const struct sluice_snapshot snapshot = {
		.table_generation = table->header->generation,
		.rule_count = table->header->rule_count,
		.output_count = table->header->output_count,
		.interface_count = table->header->interface_count,
	};

	at = put_bytes(at, &snapshot, sizeof(snapshot));
	at = put_rules(at, table, worker->counters);
	at = put_outputs(at, table, worker->counters);
	at = put_interfaces(at, table, worker->counters);
	put_block(at, worker->counters, SLUICE_WORKER_COUNTERS);
}

int64_t sluice_worker_snapshot(struct sluice_worker *worker, void *buffer, uint64_t capacity)
{
	int64_t bytes = 0;

	pthread_mutex_lock(&worker->table_lock);
	if (worker->table.memory) {
		bytes = snapshot_bytes(worker->table.header);
		if ((uint64_t)bytes <= capacity)
			copy(worker, buffer);
	}
	pthread_mutex_unlock(&worker->table_lock);
	return bytes;
}
