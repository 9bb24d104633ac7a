/*
 * What both traffic tools do with their command line. These end the process: they are the programs'
 * outermost edge. Exit codes: 1 bad value or failure, 2 unknown flag or missing argument.
 */
#ifndef SLUICE_TOOLS_ARGUMENTS_H
#define SLUICE_TOOLS_ARGUMENTS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>

#define EXIT_REFUSED 1
#define EXIT_USAGE   2

/* Prints one line `sluice: …` on stderr and exits. The text says what is wrong and what to do. */
noreturn void fail(int exit_code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The value of a flag as a whole number from min to max; anything else is refused. */
uint64_t argument_number(const char *flag, const char *text, uint64_t min, uint64_t max);

/* The value of a flag in seconds, a decimal fraction allowed, in nanoseconds. */
uint64_t argument_seconds_ns(const char *flag, const char *text);

/*
 * The next flag, its value in optarg; -1 after the last. `given` gets a bit for each row of `flags`, of
 * which there are 32 at most. A flag with a value that comes again contradicts itself: it is refused,
 * as is what is no flag.
 */
int argument_next(int argc, char *argv[], const struct option flags[], const char *command,
		  uint32_t *given);

/* Says what getopt_long found wrong (result is '?' or ':') and exits. */
noreturn void argument_unknown(int result, char *const argv[], const char *command);

#endif
