#include "life.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "sluice.h"

void life_begin(struct life *life, uint64_t *counters)
{
	/* The kernel knows a futex by the half of the counter that holds its low bits. */
	uint32_t *word = (uint32_t *)(void *)&counters[SLUICE_WORKER_LIFE];

	life->entry.next = &life->head.list;
	life->head.list.next = &life->entry;
	life->head.futex_offset = (char *)word - (char *)&life->entry;
	life->head.list_op_pending = NULL;
	/* FUTEX_WAITERS: the kernel wakes nobody without it. */
	__atomic_store_n(word, (uint32_t)gettid() | FUTEX_WAITERS, __ATOMIC_RELEASE);
	/* Without it the end of the channel still tells, only later. */
	(void)syscall(SYS_set_robust_list, &life->head, sizeof(life->head));
}
