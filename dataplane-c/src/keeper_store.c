#include "keeper_store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIRST_FD 3

void store_init(struct fd_store *store)
{
	const rlim_t wanted = STORE_FDS_LIMIT;
	struct rlimit limit = { .rlim_cur = 1024 };

	memset(store, 0, sizeof(*store));
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted) {
		const rlim_t before = limit.rlim_cur;

		limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
		if (setrlimit(RLIMIT_NOFILE, &limit))
			limit.rlim_cur = before;
	}
	if (limit.rlim_cur >= wanted)
		store->capacity = STORE_MAX_FDS;
	else if (limit.rlim_cur > STORE_OTHER_FDS)
		store->capacity = (unsigned)(limit.rlim_cur - STORE_OTHER_FDS) / 2;
}

bool store_is_name(const char *name)
{
	const size_t bytes = strnlen(name, STORE_NAME_MAX + 1);

	if (bytes == 0 || bytes > STORE_NAME_MAX)
		return false;
	for (; *name; name++)
		if (*name <= ' ' || *name > '~' || *name == ':')
			return false;
	return true;
}

/*
 * One open file, not one inode: what shares an inode (memfds opened twice, everything
 * anonymous) may differ. Which signal tells that it is ready is the open file's, and nobody
 * asks for that signal: set through one descriptor, it is seen through the other (ADR 0121).
 */
static bool is_same_file(int a, int b)
{
	const int before = fcntl(a, F_GETSIG);
	const int mark = before == SIGUSR1 ? SIGUSR2 : SIGUSR1;
	bool is_same;

	if (before < 0 || fcntl(b, F_GETSIG) != before || fcntl(a, F_SETSIG, mark))
		return false;
	is_same = fcntl(b, F_GETSIG) == mark;
	fcntl(a, F_SETSIG, before);
	return is_same;
}

static bool is_stored(const struct fd_store *store, int fd, const struct stat *about)
{
	for (unsigned i = 0; i < store->count; i++)
		if (store->files[i].device == about->st_dev &&
		    store->files[i].inode == about->st_ino && is_same_file(store->fds[i], fd))
			return true;
	return false;
}

int store_add(struct fd_store *store, const char *name, int fd)
{
	const size_t bytes = strlen(name) + 1;
	struct stat about = { 0 };
	const bool is_limited = store->capacity < STORE_MAX_FDS && store->count == store->capacity;
	int error = is_limited ? -EMFILE : -ENOSPC;

	if (fstat(fd, &about) == 0 && is_stored(store, fd, &about)) {
		close(fd);
		return 0;
	}
	if (store->count < store->capacity && store->names_bytes + bytes <= STORE_NAMES_BYTES) {
		char *copy = strdup(name);

		if (copy) {
			store->fds[store->count] = fd;
			store->files[store->count].device = about.st_dev;
			store->files[store->count].inode = about.st_ino;
			store->names[store->count++] = copy;
			store->names_bytes += bytes;
			return 0;
		}
		error = -ENOMEM;
	}
	close(fd);
	return error;
}

void store_shrink(struct fd_store *store, unsigned count)
{
	while (store->count > count) {
		store->count--;
		store->names_bytes -= strlen(store->names[store->count]) + 1;
		close(store->fds[store->count]);
		free(store->names[store->count]);
	}
}

unsigned store_remove(struct fd_store *store, const char *name)
{
	const unsigned before = store->count;
	unsigned kept = 0;

	for (unsigned i = 0; i < before; i++) {
		if (strcmp(store->names[i], name) != 0) {
			store->fds[kept] = store->fds[i];
			store->files[kept] = store->files[i];
			store->names[kept++] = store->names[i];
			continue;
		}
		store->names_bytes -= strlen(store->names[i]) + 1;
		close(store->fds[i]);
		free(store->names[i]);
	}
	store->count = kept;
	return before - kept;
}

void store_join_names(const struct fd_store *store, char *text)
{
	text[0] = 0;
	for (unsigned i = 0; i < store->count; i++) {
		const size_t bytes = strlen(store->names[i]);

		memcpy(text, store->names[i], bytes);
		text += bytes;
		*text++ = i + 1 < store->count ? ':' : 0;
	}
}

int store_place(struct fd_store *store)
{
	const int end = FIRST_FD + (int)store->count;

	/* Out of the way first: one's place may be where another still is. */
	for (unsigned i = 0; i < store->count; i++) {
		if (store->fds[i] >= end)
			continue;
		store->fds[i] = fcntl(store->fds[i], F_DUPFD_CLOEXEC, end);
		if (store->fds[i] < 0)
			return -errno;
	}
	for (unsigned i = 0; i < store->count; i++)
		if (dup2(store->fds[i], FIRST_FD + (int)i) < 0)
			return -errno;
	/* Whatever the keeper was given open and did not ask for. */
	return syscall(SYS_close_range, end, UINT_MAX, CLOSE_RANGE_CLOEXEC) ? -errno : 0;
}
