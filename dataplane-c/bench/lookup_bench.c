/*
 * What table_lookup() costs with 10,000 rules, each asked in random order: the order of
 * questions is drawn beforehand, 65,536 of them.
 */
#include "../src/table.h"
#include "bench.h"

#include <arpa/inet.h>

#define RULES     10000u
#define QUESTIONS 65536u

static struct sluice_rule_record rules[RULES];
static struct sluice_source_record sources[RULES];
static struct table table;
static struct {
	uint32_t group_be, source_be;
	uint16_t port_be;
} questions[QUESTIONS];

static uint64_t next_random(void)
{
	static uint64_t state = 88172645463325252u;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static uint64_t look_up(uint32_t operations)
{
	uint64_t sum = 0;

	for (uint32_t at = 0; at < operations; at++) {
		uint32_t asked = at % QUESTIONS;

		sum += table_lookup(&table, 2, 0, questions[asked].group_be,
				    questions[asked].port_be, questions[asked].source_be);
	}
	return sum;
}

/* As a question that needs the answer to the one before. */
static uint64_t look_up_dependent(uint32_t operations)
{
	uint32_t asked = 0;

	for (uint32_t at = 0; at < operations; at++)
		asked = (at + table_lookup(&table, 2, 0, questions[asked].group_be,
					   questions[asked].port_be, questions[asked].source_be)) %
			QUESTIONS;
	return asked;
}

static void build(bool with_sources, bool known)
{
	int fd;

	for (uint32_t row = 0; row < RULES; row++) {
		rules[row] = (struct sluice_rule_record){
			.input_ifindex = 2,
			.group_be = htonl(0xef010000u + row / 4),
			.port_be = htons((uint16_t)(5000 + row % 4)),
			.source_first = with_sources ? row : 0,
			.source_count = with_sources,
			.counter_index = 128 + row * 16,
		};
		sources[row] = (struct sluice_source_record){ htonl(0x0a000000u + row), 32 };
	}
	for (uint32_t at = 0; at < QUESTIONS; at++) {
		uint32_t row = (uint32_t)(next_random() % RULES);

		questions[at].group_be = rules[row].group_be;
		questions[at].port_be = known ? rules[row].port_be : htons(1);
		questions[at].source_be = sources[row].network_be;
	}
	fd = sluice_table_build(1, rules, RULES, sources, with_sources ? RULES : 0, NULL, 0, NULL,
				0, NULL);
	if (fd < 0 || table_map(&table, fd, 1u << 20))
		abort();
	sluice_close(fd);
}

int main(void)
{
	build(false, true);
	bench("lookup, 10,000 rules, any source", look_up);
	bench("lookup, 10,000 rules, each after the other", look_up_dependent);
	table_unmap(&table);
	build(true, true);
	bench("lookup, 10,000 rules, one source each", look_up);
	table_unmap(&table);
	build(false, false);
	bench("lookup, 10,000 rules, no match", look_up);
	table_unmap(&table);
	return 0;
}
