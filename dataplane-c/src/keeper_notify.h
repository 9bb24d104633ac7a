/*
 * The keeper's end of sd_notify(3): what the command asks to be stored and forgotten, and
 * whether that is done: the one descriptor that comes with BARRIER=1, alone, is closed when
 * everything that was sent before has been obeyed.
 */
#ifndef SLUICE_KEEPER_NOTIFY_H
#define SLUICE_KEEPER_NOTIFY_H

#include "keeper_store.h"

#include <sys/types.h>

/* '@' and the abstract name that the kernel chooses. */
#define NOTIFY_NAME_BYTES 16

/* Opens the socket; `name` gets what NOTIFY_SOCKET shall say. Its descriptor or -errno. */
int notify_open(char name[NOTIFY_NAME_BYTES]);

/*
 * Reads and obeys what has arrived. Only `command` is heard: its workers may be what an
 * attacker came through. What else came is closed, counted, and told once a second.
 */
void notify_drain(int socket, pid_t command, struct fd_store *store);

#endif
