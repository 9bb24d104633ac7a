#ifndef SLUICE_KEEPER_TIME_H
#define SLUICE_KEEPER_TIME_H

#include <stdint.h>
#include <time.h>

static inline int64_t keeper_now_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#endif
