/*
 * The pipe that the supervisor reads events from. The thread of events.c waits where it is full,
 * others only try; it is closed when all of them have ended. One for each process.
 */
#ifndef SLUICE_EVENT_PIPE_H
#define SLUICE_EVENT_PIPE_H

#include <stdbool.h>

#include "sluice.h"

/* `reader` belongs to the caller. 0, or -errno. */
int event_pipe_open(int *reader);
/* The reader sees the end. Closing what is closed does nothing. */
void event_pipe_close(void);

/* Stamps it and writes it whole, or not at all: false when the pipe is full, or closed. */
bool event_pipe_try(struct sluice_event *event);
/* Likewise, and waits while the pipe is full. False: nobody reads any more, or `stop` can be read. */
bool event_pipe_put(struct sluice_event *event, int stop);

#endif
