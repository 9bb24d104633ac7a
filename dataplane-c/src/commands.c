/* What the supervisor tells a worker, carried out between two batches. */
#include <errno.h>
#include <string.h>

#include "mapping.h"
#include "reconnect.h"
#include "worker.h"

/* After so many commands packets get their turn. */
#define COMMANDS_AT_ONCE 16u

static int take_counters(struct sluice_worker *worker, struct command *command)
{
	void *memory;
	size_t bytes;
	int error;

	if (worker->counters)
		return -EBUSY;
	error = mapping_open(command->fds[0], MAPPING_SHARED,
			     SLUICE_WORKER_COUNTERS * sizeof(uint64_t), &memory, &bytes);
	if (error)
		return error;
	/* No snapshot reads them before a table is in force, which is put there under the lock. */
	worker->counters = memory;
	worker->counters_bytes = bytes;
	life_begin(&worker->life, worker->counters);
	return 0;
}

static int attach_shard(struct sluice_worker *worker, struct command *command)
{
	const struct sluice_attach_shard *message = &command->attach_shard;
	const struct engine_shard shard = {
		.shard = message->shard,
		.ifindex = message->ifindex,
		.driver = worker->slot,
		.ring = message->ring,
		.socket = command->fds[0],
		.state = command->fds[1],
	};
	int error = worker->engine->ops->attach(worker->engine, &shard);

	if (!error) {
		command->fd_count = 0;
		worker->waits_changed = true;
		/* The engine has no room for more than this. */
		worker->held[worker->held_count++] = message->shard;
	}
	journal_write(&worker->journal, error ? JOURNAL_ERROR : JOURNAL_DEBUG,
		      SLUICE_FACILITY_CAPTURE, "shard %u of interface %u attached: %s",
		      message->shard, message->ifindex, sluice_error_text(error));
	return error;
}

static void let_go(struct sluice_worker *worker, uint32_t shard)
{
	for (uint32_t at = 0; at < worker->held_count; at++)
		if (worker->held[at] == shard)
			worker->held[at--] = worker->held[--worker->held_count];
}

static int detach_shard(struct sluice_worker *worker, const struct command *command)
{
	const uint32_t shard = command->detach_shard.shard;
	int error = worker->engine->ops->detach(worker->engine, shard);

	worker->waits_changed = true;
	if (!error)
		let_go(worker, shard);
	journal_write(&worker->journal, error ? JOURNAL_ERROR : JOURNAL_DEBUG,
		      SLUICE_FACILITY_CAPTURE, "shard %u detached: %s", shard,
		      sluice_error_text(error));
	return error;
}

static int add_egress(struct sluice_worker *worker, struct command *command)
{
	const struct sluice_egress_slot *message = &command->egress_slot;
	int error = worker->engine->ops->add_egress(worker->engine, message->slot, command->fds[0],
						    message->ifindex, message->options);

	if (!error)
		command->fd_count = 0;
	return error;
}

/* In force once the lock was had; until then no further command is taken. */
static int prepare_table(struct sluice_worker *worker, const struct command *command)
{
	int error;

	if (!worker->counters)
		return -ENOENT;
	error = table_map(&worker->next_table, command->fds[0],
			  worker->counters_bytes / sizeof(uint64_t));
	if (error) {
		journal_write(&worker->journal, JOURNAL_ERROR, SLUICE_FACILITY_TABLE,
			      "table refused: %s", sluice_error_text(error));
		return error;
	}
	worker->next_sequence = command->message.sequence;
	return 0;
}

static void install(struct sluice_worker *worker)
{
	const struct table *before = worker->table_before.memory ? &worker->table_before : NULL;

	worker->engine->ops->install(worker->engine, &worker->table, before, worker->counters);
}

/* Slots of egress sockets that it names may be another's from now on. */
static void forget_table_before(struct sluice_worker *worker)
{
	if (!worker->table_before.memory)
		return;
	table_unmap(&worker->table_before);
	memset(&worker->table_before, 0, sizeof(worker->table_before));
	install(worker);
}

static int remove_egress(struct sluice_worker *worker, const struct command *command)
{
	int error = worker->engine->ops->remove_egress(worker->engine, command->egress_slot.slot);

	if (!error)
		forget_table_before(worker);
	return error;
}

/* True when no table is waiting any more. */
static bool swap_tables(struct sluice_worker *worker)
{
	const struct table_header *header;
	struct table oldest;

	if (pthread_mutex_trylock(&worker->table_lock))
		return false;
	oldest = worker->table_before;
	worker->table_before = worker->table;
	worker->table = worker->next_table;
	pthread_mutex_unlock(&worker->table_lock);
	install(worker);
	memset(&worker->next_table, 0, sizeof(worker->next_table));
	worker->waits_changed = true;
	table_unmap(&oldest);
	header = worker->table.header;
	journal_write(&worker->journal, JOURNAL_DEBUG, SLUICE_FACILITY_TABLE,
		      "table %llu in force: %u rules, %u outputs",
		      (unsigned long long)header->generation, header->rule_count,
		      header->output_count);
	return true;
}

static void take_note(struct sluice_worker *worker, const struct command *command)
{
	(void)mailbox_put(&worker->notes, command->bytes + sizeof(command->message),
			  command->message.bytes - (uint32_t)sizeof(command->message));
}

static int carry_out(struct sluice_worker *worker, struct command *command)
{
	switch (command->message.kind) {
	case SLUICE_MESSAGE_COUNTERS:
		return take_counters(worker, command);
	case SLUICE_MESSAGE_ATTACH_SHARD:
		return attach_shard(worker, command);
	case SLUICE_MESSAGE_DETACH_SHARD:
		return detach_shard(worker, command);
	case SLUICE_MESSAGE_ADD_EGRESS:
		return add_egress(worker, command);
	case SLUICE_MESSAGE_REMOVE_EGRESS:
		return remove_egress(worker, command);
	case SLUICE_MESSAGE_INSTALL_TABLE:
		return prepare_table(worker, command);
	case SLUICE_MESSAGE_NOTE:
		take_note(worker, command);
		return 0;
	case SLUICE_MESSAGE_STOP:
		worker->stopped = true;
		return 0;
	default:
		return -EBADMSG;
	}
}

/* 0; -EAGAIN: it waits; -ENOTCONN. */
static int acknowledge(struct sluice_worker *worker, uint64_t sequence, int result)
{
	int error = worker_channel_report(worker->channel, REPORT_ACK, sequence,
					  (uint64_t)(int64_t)result);

	if (worker->ack_waits != (error == -EAGAIN))
		worker->waits_changed = true;
	worker->ack_waits = error == -EAGAIN;
	worker->ack_sequence = sequence;
	worker->ack_result = result;
	return error == 0 || error == -EAGAIN ? error : -ENOTCONN;
}

/* What must be done before the next command is taken. 0; -EAGAIN: not yet; -ENOTCONN. */
static int finish_last(struct sluice_worker *worker)
{
	if (worker->ack_waits)
		return acknowledge(worker, worker->ack_sequence, worker->ack_result);
	if (!worker->next_table.memory)
		return 0;
	if (!swap_tables(worker))
		return -EAGAIN;
	return acknowledge(worker, worker->next_sequence, 0);
}

static int take_one(struct sluice_worker *worker, bool *taken)
{
	struct command *command = &worker->command;
	int result = worker_channel_receive(worker->channel, command);

	*taken = result == 1 || result == -EBADMSG || result == -EMFILE;
	if (!*taken)
		return result;
	if (result == 1) {
		heard(worker);
		result = carry_out(worker, command);
		command_close(command);
	}
	/* A table is acknowledged when it is in force. */
	return worker->next_table.memory ? 0
					 : acknowledge(worker, command->message.sequence, result);
}

int commands_take(struct sluice_worker *worker)
{
	for (unsigned count = 0; count < COMMANDS_AT_ONCE; count++) {
		bool taken = false;
		int error = finish_last(worker);

		if (!error && !worker->stopped)
			error = take_one(worker, &taken);
		if (error == -EAGAIN)
			return 0;
		if (error || !taken)
			return error;
	}
	return 0;
}
