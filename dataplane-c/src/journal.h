/*
 * Bounded queues from the packet thread to the worker's own process: log lines, and
 * the supervisor's notes. Cold path only.
 *
 * A mailbox holds whole records; a new one pushes out the oldest. The packet thread
 * must not wait for a reader that was preempted inside the lock, so it gives up after
 * some attempts, and counts the record as lost like those pushed out.
 */
#ifndef SLUICE_JOURNAL_H
#define SLUICE_JOURNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "sluice.h"

#define MAILBOX_BYTES      65536u
#define JOURNAL_LINE_BYTES 512u

struct mailbox {
	pthread_mutex_t lock;
	uint32_t begin, used; /* bytes; records are a u32 length and as many bytes */
	uint64_t lost;
	int news; /* a pipe into which a byte is written when it was empty; -1: nobody waits */
	uint8_t bytes[MAILBOX_BYTES];
};

/* The descriptor stays the caller's. */
void mailbox_open(struct mailbox *mailbox, int news);
void mailbox_close(struct mailbox *mailbox);
/* False when it was lost. */
bool mailbox_put(struct mailbox *mailbox, const void *record, uint32_t bytes);
/* Its length, 0: none. A record longer than capacity is cut. */
uint32_t mailbox_take(struct mailbox *mailbox, void *record, uint32_t capacity);
/* Records lost since the last call. */
uint64_t mailbox_take_lost(struct mailbox *mailbox);

enum journal_level { JOURNAL_TRACE = 1, JOURNAL_DEBUG, JOURNAL_INFO, JOURNAL_WARN, JOURNAL_ERROR };

struct journal {
	struct mailbox lines;
};

__attribute__((format(printf, 4, 5))) void journal_write(struct journal *journal,
							 enum journal_level level,
							 enum sluice_facility facility,
							 const char *format, ...);
/* As sluice_worker_take_line(). */
uint32_t journal_take(struct journal *journal, void *line, uint32_t capacity);

#endif
