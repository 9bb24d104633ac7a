#include "mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

int mapping_open(int fd, enum mapping_kind kind, size_t least_bytes, void **memory, size_t *bytes)
{
	const int wanted = kind == MAPPING_CONSTANT ? F_SEAL_SHRINK | F_SEAL_WRITE : F_SEAL_SHRINK;
	const int protection = kind == MAPPING_CONSTANT ? PROT_READ : PROT_READ | PROT_WRITE;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat status;
	void *mapped;

	if (seals < 0 || (seals & wanted) != wanted)
		return -EPERM;
	if (fstat(fd, &status))
		return -errno;
	if (status.st_size <= 0 || (size_t)status.st_size < least_bytes)
		return -EINVAL;
	/* A table's pages are there; taking them now spares the first datagrams the faults. */
	mapped = mmap(NULL, (size_t)status.st_size, protection,
		      MAP_SHARED | (kind == MAPPING_CONSTANT ? MAP_POPULATE : 0), fd, 0);
	if (mapped == MAP_FAILED)
		return -errno;
	*memory = mapped;
	*bytes = (size_t)status.st_size;
	return 0;
}

void mapping_close(void *memory, size_t bytes)
{
	if (memory)
		munmap(memory, bytes);
}
