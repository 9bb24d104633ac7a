#include "time_slice.h"
#include "sluice.h"

#include <errno.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

/* sched_setattr(2): glibc 2.36 has neither the call nor the structure. */
struct scheduling {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns;
	uint64_t deadline_ns;
	uint64_t period_ns;
};

int time_slice_set(uint64_t slice_ns)
{
	struct scheduling scheduling = { .size = sizeof(scheduling) };

	/* Policy and nice value stay what they are: changing them could need CAP_SYS_NICE. */
	if (syscall(SYS_sched_getattr, 0, &scheduling, sizeof(scheduling), 0))
		return -errno;
	scheduling.size = sizeof(scheduling);
	scheduling.runtime_ns = slice_ns;
	return syscall(SYS_sched_setattr, 0, &scheduling, 0) ? -errno : 0;
}

/* Real-time priorities: whoever watches packet threads comes before those that are real-time too. */
#define PRIORITY_PACKETS 1
#define PRIORITY_WATCH   2

int time_run_at_once(void)
{
	const struct sched_param watch = { .sched_priority = PRIORITY_WATCH };

	return sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &watch) ? -errno : 0;
}

/* In turns: several packet threads may share a CPU. */
int sluice_thread_realtime(int32_t thread)
{
	const struct sched_param packets = { .sched_priority = PRIORITY_PACKETS };

	return sched_setscheduler(thread, SCHED_RR | SCHED_RESET_ON_FORK, &packets) ? -errno : 0;
}
