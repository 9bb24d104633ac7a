/*
 * Mapping the memfds that a worker receives. The seals matter: memory that somebody
 * could shrink kills its reader with SIGBUS, memory that somebody could write can't
 * be validated once and then trusted.
 */
#ifndef SLUICE_MAPPING_H
#define SLUICE_MAPPING_H

#include <stddef.h>

enum mapping_kind {
	MAPPING_CONSTANT, /* read only; sealed against writing and shrinking */
	MAPPING_SHARED    /* read and write; sealed against shrinking */
};

/*
 * Maps all of fd, which must hold at least `least_bytes`. 0, -EINVAL (too short),
 * -EPERM (a seal is missing, or no memfd), or what fstat and mmap say.
 */
int mapping_open(int fd, enum mapping_kind kind, size_t least_bytes, void **memory, size_t *bytes);
/* memory may be NULL. */
void mapping_close(void *memory, size_t bytes);

#endif
