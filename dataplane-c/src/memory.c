/* Memory that outlives a worker: shard states and counters. */
#include "sluice.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "counters.h"
#include "mapping.h"
#include "shard_state.h"

/* Both halves map it: a worker that could shrink it could kill its readers with SIGBUS. */
static int create_fixed(const char *name, size_t bytes)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int error = 0;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		error = -errno;
	if (!error)
		return fd;
	close(fd);
	return error;
}

static int write_all(int fd, const void *bytes, size_t count, off_t offset)
{
	ssize_t written = pwrite(fd, bytes, count, offset);

	if (written < 0)
		return -errno;
	return (size_t)written == count ? 0 : -EIO;
}

int sluice_memory_create(void)
{
	int fd = memfd_create("sluice-memory", MFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int sluice_shard_state_create(void)
{
	const uint32_t magic = SHARD_STATE_MAGIC;
	int fd = create_fixed("sluice-shard", sizeof(struct shard_state));
	int error;

	if (fd < 0)
		return fd;
	error = write_all(fd, &magic, sizeof(magic), offsetof(struct shard_state, magic));
	if (!error)
		return fd;
	close(fd);
	return error;
}

/* Absolute values: carrying them out once more changes nothing. */
static int carry_out(struct shard_state *state, uint32_t count, uint64_t *counters,
		     uint64_t counter_count)
{
	struct ledger_entry entries[LEDGER_ENTRIES];

	if (count > LEDGER_ENTRIES)
		return -EINVAL;
	memcpy(entries, state->entries, sizeof(entries));
	for (uint32_t at = 0; at < count; at++) {
		if (entries[at].index >= counter_count)
			return -EINVAL;
	}
	for (uint32_t at = 0; at < count; at++)
		counter_set(&counters[entries[at].index], entries[at].value);
	state->settled = state->entries_settle;
	state->entry_count = 0;
	return 0;
}

int sluice_shard_settle(int state_fd, int counters_fd)
{
	struct shard_state *state;
	void *memory, *counters;
	size_t state_bytes, counters_bytes;
	uint32_t count;
	int error = mapping_open(state_fd, MAPPING_SHARED, sizeof(*state), &memory, &state_bytes);

	if (error)
		return error;
	state = memory;
	/* Read once: whoever else has mapped it may still change it. */
	count = __atomic_load_n(&state->entry_count, __ATOMIC_RELAXED);
	if (state->magic != SHARD_STATE_MAGIC)
		error = -EINVAL;
	else if (count)
		error = mapping_open(counters_fd, MAPPING_SHARED, sizeof(uint64_t), &counters,
				     &counters_bytes);
	if (!error && count) {
		error = carry_out(state, count, counters, counters_bytes / sizeof(uint64_t));
		mapping_close(counters, counters_bytes);
	}
	mapping_close(memory, state_bytes);
	return error;
}

int sluice_shard_driver(int state_fd)
{
	const struct shard_state *state;
	void *memory;
	size_t bytes;
	uint32_t driver;
	int error =
		mapping_open(state_fd, MAPPING_SHARED, sizeof(struct shard_state), &memory, &bytes);

	if (error)
		return error;
	state = memory;
	/* Read once: whoever else has mapped it may still change it. */
	driver = __atomic_load_n(&state->driver, __ATOMIC_RELAXED);
	if (state->magic != SHARD_STATE_MAGIC || driver > SLUICE_MAX_WORKERS)
		error = -EINVAL;
	mapping_close(memory, bytes);
	if (error)
		return error;
	return driver ? (int)driver - 1 : -ENOENT;
}

int sluice_counters_create(uint32_t count)
{
	/* Pages come on first write: a generous count costs nothing. */
	if (count == 0 || count > SLUICE_MAX_COUNTERS)
		return -EINVAL;
	return create_fixed("sluice-counters", (size_t)count * sizeof(uint64_t));
}

int sluice_counters_zero(int fd, uint32_t index, uint32_t count)
{
	static const uint64_t zeros[512];
	struct stat status;
	uint64_t end = (uint64_t)index + count;

	if (fstat(fd, &status))
		return -errno;
	if (end * sizeof(uint64_t) > (uint64_t)status.st_size)
		return -EINVAL;
	while (count) {
		uint32_t now = count < 512 ? count : 512;
		int error = write_all(fd, zeros, now * sizeof(uint64_t),
				      (off_t)index * (off_t)sizeof(uint64_t));

		if (error)
			return error;
		index += now;
		count -= now;
	}
	return 0;
}
