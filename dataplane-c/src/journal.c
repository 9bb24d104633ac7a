#include "journal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOCK_ATTEMPTS 10000

void mailbox_open(struct mailbox *mailbox, int news)
{
	memset(mailbox, 0, sizeof(*mailbox));
	mailbox->news = news;
	pthread_mutex_init(&mailbox->lock, NULL);
}

void mailbox_close(struct mailbox *mailbox)
{
	pthread_mutex_destroy(&mailbox->lock);
}

/* The buffer is a circle: one or two pieces. */
static void copy_in(struct mailbox *mailbox, const void *from, uint32_t bytes)
{
	uint32_t at = (mailbox->begin + mailbox->used) % MAILBOX_BYTES;
	uint32_t first = MAILBOX_BYTES - at < bytes ? MAILBOX_BYTES - at : bytes;

	memcpy(mailbox->bytes + at, from, first);
	memcpy(mailbox->bytes, (const uint8_t *)from + first, bytes - first);
	mailbox->used += bytes;
}

static void copy_out(struct mailbox *mailbox, void *to, uint32_t bytes)
{
	uint32_t at = mailbox->begin;
	uint32_t first = MAILBOX_BYTES - at < bytes ? MAILBOX_BYTES - at : bytes;

	memcpy(to, mailbox->bytes + at, first);
	memcpy((uint8_t *)to + first, mailbox->bytes, bytes - first);
	mailbox->begin = (at + bytes) % MAILBOX_BYTES;
	mailbox->used -= bytes;
}

static void skip(struct mailbox *mailbox, uint32_t bytes)
{
	mailbox->begin = (mailbox->begin + bytes) % MAILBOX_BYTES;
	mailbox->used -= bytes;
}

bool mailbox_put(struct mailbox *mailbox, const void *record, uint32_t bytes)
{
	int attempts = LOCK_ATTEMPTS;
	bool was_empty;

	while (pthread_mutex_trylock(&mailbox->lock)) {
		if (--attempts == 0) {
			__atomic_fetch_add(&mailbox->lost, 1, __ATOMIC_RELAXED);
			return false;
		}
	}
	was_empty = !mailbox->used;
	while (mailbox->used && MAILBOX_BYTES - mailbox->used < bytes + sizeof(bytes)) {
		uint32_t oldest;

		copy_out(mailbox, &oldest, sizeof(oldest));
		skip(mailbox, oldest);
		__atomic_fetch_add(&mailbox->lost, 1, __ATOMIC_RELAXED);
	}
	copy_in(mailbox, &bytes, sizeof(bytes));
	copy_in(mailbox, record, bytes);
	pthread_mutex_unlock(&mailbox->lock);
	/* A pipe that is full wakes its reader too. */
	if (was_empty && mailbox->news >= 0)
		(void)!write(mailbox->news, "", 1);
	return true;
}

uint32_t mailbox_take(struct mailbox *mailbox, void *record, uint32_t capacity)
{
	uint32_t bytes = 0;
	uint32_t taken = 0;

	pthread_mutex_lock(&mailbox->lock);
	if (mailbox->used) {
		copy_out(mailbox, &bytes, sizeof(bytes));
		taken = bytes < capacity ? bytes : capacity;
		copy_out(mailbox, record, taken);
		skip(mailbox, bytes - taken);
	}
	pthread_mutex_unlock(&mailbox->lock);
	return taken;
}

uint64_t mailbox_take_lost(struct mailbox *mailbox)
{
	return __atomic_exchange_n(&mailbox->lost, 0, __ATOMIC_RELAXED);
}

void journal_write(struct journal *journal, enum journal_level level, enum sluice_facility facility,
		   const char *format, ...)
{
	char line[JOURNAL_LINE_BYTES] = { (char)level, (char)facility };
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line + 2, sizeof(line) - 2, format, arguments);
	va_end(arguments);
	if (length < 0)
		length = 0;
	if (length > (int)sizeof(line) - 3)
		length = (int)sizeof(line) - 3;
	mailbox_put(&journal->lines, line, (uint32_t)length + 2);
}

uint32_t journal_take(struct journal *journal, void *line, uint32_t capacity)
{
	uint64_t lost = capacity > 2 ? mailbox_take_lost(&journal->lines) : 0;
	char *text = line;
	int length;

	if (!lost)
		return mailbox_take(&journal->lines, line, capacity);
	text[0] = JOURNAL_WARN;
	text[1] = SLUICE_FACILITY_CHANNEL;
	length = snprintf(text + 2, capacity - 2, "%llu log lines were lost",
			  (unsigned long long)lost);
	if (length < 0)
		length = 0;
	return (uint32_t)length + 2 < capacity ? (uint32_t)length + 2 : capacity - 1;
}
