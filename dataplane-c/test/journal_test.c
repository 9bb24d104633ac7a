/* The queues out of the packet thread: whole records, in order, the oldest pushed out. */
#include "../src/journal.h"
#include "expect.h"

#include <stdlib.h>
#include <string.h>

static struct mailbox mailbox;
static struct journal journal;

static void records_come_out_whole_and_in_order(void)
{
	uint8_t record[4000], taken[4000];

	mailbox_open(&mailbox, -1);
	for (uint32_t round = 0; round < 1000; round++) {
		const uint32_t bytes = 1 + (round * 131) % sizeof(record);

		memset(record, (int)round, sizeof(record));
		mailbox_put(&mailbox, record, bytes);
		EXPECT_EQUAL(mailbox_take(&mailbox, taken, sizeof(taken)), bytes);
		EXPECT(memcmp(record, taken, bytes) == 0);
	}
	EXPECT_EQUAL(mailbox_take(&mailbox, taken, sizeof(taken)), 0);
	EXPECT_EQUAL(mailbox_take_lost(&mailbox), 0);
	mailbox_close(&mailbox);
}

static void the_oldest_are_pushed_out_and_counted(void)
{
	uint32_t put = 0, taken, expected;
	uint8_t record[1000];

	mailbox_open(&mailbox, -1);
	for (; put < 500; put++) {
		memcpy(record, &put, sizeof(put));
		mailbox_put(&mailbox, record, sizeof(record));
	}
	expected = put - MAILBOX_BYTES / (sizeof(record) + 4);
	EXPECT_EQUAL(mailbox_take_lost(&mailbox), expected);
	while (mailbox_take(&mailbox, record, sizeof(record))) {
		memcpy(&taken, record, sizeof(taken));
		EXPECT_EQUAL(taken, expected++);
	}
	EXPECT_EQUAL(expected, put);
	mailbox_close(&mailbox);
}

static void a_record_longer_than_the_buffer_is_cut(void)
{
	uint8_t taken[4] = { 0 };

	mailbox_open(&mailbox, -1);
	mailbox_put(&mailbox, "abcdefgh", 8);
	mailbox_put(&mailbox, "xy", 2);
	EXPECT_EQUAL(mailbox_take(&mailbox, taken, 3), 3);
	EXPECT(memcmp(taken, "abc", 4) == 0);
	EXPECT_EQUAL(mailbox_take(&mailbox, taken, sizeof(taken)), 2);
	mailbox_close(&mailbox);
}

static void lost_lines_are_told_in_a_line(void)
{
	char line[JOURNAL_LINE_BYTES] = { 0 };
	uint32_t bytes;

	mailbox_open(&journal.lines, -1);
	journal_write(&journal, JOURNAL_ERROR, SLUICE_FACILITY_TABLE, "number %d", 7);
	bytes = journal_take(&journal, line, sizeof(line));
	EXPECT_EQUAL(bytes, 10);
	EXPECT(memcmp(line, "\5\3number 7", bytes) == 0);
	for (unsigned at = 0; at < 1000; at++)
		journal_write(&journal, JOURNAL_INFO, SLUICE_FACILITY_EGRESS, "%0400d", at);
	EXPECT(journal_take(&journal, line, sizeof(line)) > 2);
	EXPECT(strstr(line + 2, "log lines were lost"));
	EXPECT_EQUAL(line[0], JOURNAL_WARN);
	bytes = journal_take(&journal, line, sizeof(line));
	EXPECT_EQUAL(bytes, 402);
	mailbox_close(&journal.lines);
}

int main(void)
{
	records_come_out_whole_and_in_order();
	the_oldest_are_pushed_out_and_counted();
	a_record_longer_than_the_buffer_is_cut();
	lost_lines_are_told_in_a_line();
	return failures ? 1 : 0;
}
