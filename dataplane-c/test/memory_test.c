/* Memory that a worker shares with its successor keeps its size. */
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
	struct sluice_shard_state state, expected = { .magic = SLUICE_SHARD_STATE_MAGIC };
	const int fd = sluice_shard_state_create();

	EXPECT(fd >= 0);
	EXPECT_EQUAL(pread(fd, &state, sizeof(state), 0), sizeof(state));
	EXPECT_EQUAL(size_of(fd), sizeof(state));
	EXPECT(memcmp(&state, &expected, sizeof(state)) == 0);
	sluice_close(fd);
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
	nobody_can_change_the_size();
	zeroing_touches_only_its_counters();
	a_count_has_bounds();
	return failures != 0;
}
