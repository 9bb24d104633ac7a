/* Preloaded: the real-time clock of whoever has it is as many seconds off as the file says. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset_s;

__attribute__((constructor)) static void map_offset(void)
{
	int fd = open(OFFSET_FILE, O_RDONLY | O_CLOEXEC);
	void *map = fd < 0 ? MAP_FAILED
			   : mmap(NULL, sizeof(*offset_s), PROT_READ, MAP_SHARED, fd, 0);

	if (fd >= 0)
		close(fd);
	if (map != MAP_FAILED)
		offset_s = map;
}

static int64_t offset(void)
{
	return offset_s ? *offset_s : 0;
}

int clock_gettime(clockid_t clock, struct timespec *at)
{
	static int (*real)(clockid_t, struct timespec *);
	int result;

	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	result = real(clock, at);
	if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		at->tv_sec += offset();
	return result;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &now) != 0)
		return -1;
	at->tv_sec = now.tv_sec;
	at->tv_usec = now.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *at)
{
	struct timespec now;

	if (clock_gettime(CLOCK_REALTIME, &now) != 0)
		return -1;
	if (at)
		*at = now.tv_sec;
	return now.tv_sec;
}

/* The first of these is a day of 2001 by the real time, and of no uptime. */
#define REAL_SINCE_S 1000000000

/*
 * The kernel's own clock is right, and would take an end that our clock gave for long past, or for hours away: a thread
 * that waits in a loop would take a whole CPU. A condition on the monotonic clock has ends that are too small for this.
 */
int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
			   const struct timespec *restrict end)
{
	static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
	struct timespec kernels = *end;

	if (!real)
		real = (int (*)(pthread_cond_t *, pthread_mutex_t *,
				const struct timespec *))dlvsym(RTLD_NEXT, "pthread_cond_timedwait",
								"GLIBC_2.3.2");
	if (!real)
		real = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))dlsym(
			RTLD_NEXT, "pthread_cond_timedwait");
	if (kernels.tv_sec > REAL_SINCE_S)
		kernels.tv_sec -= offset();
	return real(condition, mutex, &kernels);
}
