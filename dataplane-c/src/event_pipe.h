/* The pipe that the supervisor reads events from (events.c), for threads that must not wait. */
#ifndef SLUICE_EVENT_PIPE_H
#define SLUICE_EVENT_PIPE_H

#include <stdbool.h>

#include "sluice.h"

/* Stamps it and writes it whole, or not at all: false when the pipe is full, or closed. */
bool event_pipe_try(struct sluice_event *event);

#endif
