/* Descriptors that outlive the command: systemd's FileDescriptorStore=, see sd_notify(3). */
#ifndef SLUICE_KEEPER_STORE_H
#define SLUICE_KEEPER_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define STORE_MAX_FDS     4096u
/* The keeper's own, those of a message that is being read, and some air. */
#define STORE_OTHER_FDS   384u
/* The limit of open descriptors that a full store needs: while they are placed, each is open twice. */
#define STORE_FDS_LIMIT   (2 * STORE_MAX_FDS + STORE_OTHER_FDS)
#define STORE_NAME_MAX    255u
/* All names, joined by ':', are one variable of the environment, which may have 128 KiB. */
#define STORE_NAMES_BYTES 65536u

struct fd_store {
	unsigned count;
	unsigned capacity;
	size_t names_bytes;     /* each with its separator or end */
	int fds[STORE_MAX_FDS]; /* in the order in which they came; CLOEXEC */
	char *names[STORE_MAX_FDS];
	/* Of the file: two that differ here need no closer look. */
	struct {
		dev_t device;
		ino_t inode;
	} files[STORE_MAX_FDS];
};

/* Raises the limit of open descriptors as far as it may, and takes no more than fit under it. */
void store_init(struct fd_store *store);

/* 1 to 255 printable ASCII characters without ':'. */
bool store_is_name(const char *name);

/*
 * Takes the descriptor: it is stored, or closed. 0, also for one that is in the store
 * already (the same open file, under whatever name); -ENOSPC, -ENOMEM, -EMFILE where the
 * limit of open descriptors leaves no room for more.
 */
int store_add(struct fd_store *store, const char *name, int fd);

/* Closes what was stored last, until only so many are left. */
void store_shrink(struct fd_store *store, unsigned count);

/* Closes every descriptor of that name. How many. */
unsigned store_remove(struct fd_store *store, const char *name);

/* Joined by ':', into STORE_NAMES_BYTES bytes. */
void store_join_names(const struct fd_store *store, char *text);

/*
 * For the command's process, between fork and exec: puts the descriptors at 3, 4, …, to
 * stay open over exec, and marks all others beyond them CLOEXEC. 0 or -errno.
 */
int store_place(struct fd_store *store);

#endif
