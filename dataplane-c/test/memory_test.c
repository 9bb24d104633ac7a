/* Memory that a worker shares with its successor keeps its size. */
#include "../src/shard_state.h"
#include "expect.h"
#include "sluice.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static off_t size_of(int fd)
{
	struct stat status;

	return fstat(fd, &status) ? -1 : status.st_size;
}

static void a_shard_state_begins_at_slot_0(void)
{
	static struct shard_state state, expected = { .magic = SHARD_STATE_MAGIC };
	const int fd = sluice_shard_state_create();

	EXPECT(fd >= 0);
	EXPECT_EQUAL(pread(fd, &state, sizeof(state), 0), sizeof(state));
	EXPECT_EQUAL(size_of(fd), sizeof(state));
	EXPECT(memcmp(&state, &expected, sizeof(state)) == 0);
	EXPECT_EQUAL(sluice_shard_driver(fd), -ENOENT);
	state.driver = SLUICE_MAX_WORKERS;
	EXPECT_EQUAL(pwrite(fd, &state, sizeof(state), 0), sizeof(state));
	EXPECT_EQUAL(sluice_shard_driver(fd), SLUICE_MAX_WORKERS - 1);
	/* What a hostile worker could write. */
	state.driver = SLUICE_MAX_WORKERS + 1;
	EXPECT_EQUAL(pwrite(fd, &state, sizeof(state), 0), sizeof(state));
	EXPECT_EQUAL(sluice_shard_driver(fd), -EINVAL);
	sluice_close(fd);
}

/* Of a worker that died between writing down four counters and having changed them all. */
static void what_was_written_down_is_settled_once(void)
{
	const int fd = sluice_shard_state_create();
	const int counters_fd = sluice_counters_create(64);
	const struct ledger_entry entries[] = { { 8, 1000 }, { 9, 1001 }, { 63, 7 } };
	struct shard_state *state =
		mmap(NULL, sizeof(*state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint64_t *counters = mmap(NULL, 64 * 8, PROT_READ, MAP_SHARED, counters_fd, 0);

	memcpy(state->entries, entries, sizeof(entries));
	state->settled = 5;
	state->entries_settle = 9;
	EXPECT_EQUAL(sluice_shard_settle(fd, counters_fd), 0);
	EXPECT_EQUAL(counters[8], 0);
	EXPECT_EQUAL(state->settled, 5);
	state->entry_count = 3;
	for (unsigned times = 0; times < 2; times++) {
		EXPECT_EQUAL(sluice_shard_settle(fd, counters_fd), 0);
		EXPECT_EQUAL(counters[8], 1000);
		EXPECT_EQUAL(counters[9], 1001);
		EXPECT_EQUAL(counters[63], 7);
		EXPECT_EQUAL(state->settled, 9);
		EXPECT_EQUAL(state->entry_count, 0);
	}
	/* What a hostile worker could write. */
	state->entries[1].index = 64;
	state->entry_count = 2;
	EXPECT_EQUAL(sluice_shard_settle(fd, counters_fd), -EINVAL);
	state->entry_count = LEDGER_ENTRIES + 1;
	EXPECT_EQUAL(sluice_shard_settle(fd, counters_fd), -EINVAL);
	EXPECT_EQUAL(sluice_shard_settle(counters_fd, counters_fd), -EINVAL);
	EXPECT_EQUAL(sluice_shard_settle(-1, counters_fd), -EPERM);
	munmap(counters, (size_t)64 * 8);
	munmap(state, sizeof(*state));
	sluice_close(fd);
	sluice_close(counters_fd);
}

static void nobody_can_change_the_size(void)
{
	const int fds[] = { sluice_shard_state_create(), sluice_counters_create(1000) };

	for (int i = 0; i < 2; i++) {
		EXPECT(ftruncate(fds[i], 8) && errno == EPERM);
		EXPECT(ftruncate(fds[i], 1 << 20) && errno == EPERM);
		sluice_close(fds[i]);
	}
}

static void zeroing_touches_only_its_counters(void)
{
	enum { COUNT = 2000, FIRST = 8, ZEROED = 1500 };
	const int fd = sluice_counters_create(COUNT);
	uint64_t *counters =
		mmap(NULL, COUNT * sizeof(*counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	EXPECT(counters != MAP_FAILED);
	for (uint64_t i = 0; i < COUNT; i++)
		EXPECT_EQUAL(counters[i], 0);
	for (uint64_t i = 0; i < COUNT; i++)
		counters[i] = i + 1;
	EXPECT_EQUAL(sluice_counters_zero(fd, FIRST, ZEROED), 0);
	for (uint64_t i = 0; i < COUNT; i++)
		EXPECT_EQUAL(counters[i], i >= FIRST && i < FIRST + ZEROED ? 0 : i + 1);
	EXPECT_EQUAL(sluice_counters_zero(fd, COUNT - 8, 9), -EINVAL);
	EXPECT_EQUAL(sluice_counters_zero(fd, UINT32_MAX, UINT32_MAX), -EINVAL);
	EXPECT_EQUAL(sluice_counters_zero(fd, COUNT, 0), 0);
	EXPECT_EQUAL(sluice_counters_zero(-1, 0, 8), -EBADF);
	munmap(counters, COUNT * sizeof(*counters));
	sluice_close(fd);
}

static void a_count_has_bounds(void)
{
	const int most = sluice_counters_create(SLUICE_MAX_COUNTERS);

	EXPECT_EQUAL(size_of(most), SLUICE_MAX_COUNTERS * sizeof(uint64_t));
	EXPECT_EQUAL(sluice_counters_create(0), -EINVAL);
	EXPECT_EQUAL(sluice_counters_create(SLUICE_MAX_COUNTERS + 1), -EINVAL);
	sluice_close(most);
	EXPECT_EQUAL(sluice_close(most), -EBADF);
}

int main(void)
{
	a_shard_state_begins_at_slot_0();
	what_was_written_down_is_settled_once();
	nobody_can_change_the_size();
	zeroing_touches_only_its_counters();
	a_count_has_bounds();
	return failures != 0;
}
