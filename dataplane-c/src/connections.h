/*
 * The connections of workers. Two threads meet here: the event thread adds, reads
 * and removes; the caller's thread sends and disconnects. Only the event thread
 * closes, under the same lock as sending, so no message goes to a reused descriptor.
 */
#ifndef SLUICE_CONNECTIONS_H
#define SLUICE_CONNECTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Twice the workers: a successor may say HELLO before its predecessor's GONE is handled. */
#define MAX_CONNECTIONS 128u

struct connection {
	uint32_t id; /* never given twice in one process; 0: free */
	int fd;
	pid_t pid;
	bool greeted; /* said HELLO */
};

/* Takes the descriptor. Its id, or 0 when all places are taken (the descriptor is closed). */
uint32_t connections_add(int fd, pid_t pid);

/* A copy; nobody but the event thread removes. False when it is not there. */
bool connections_find(uint32_t id, struct connection *connection);

void connections_set_greeted(uint32_t id);

/* Closes it. */
void connections_remove(uint32_t id);
void connections_remove_all(void);

#endif
