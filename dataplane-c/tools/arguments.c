#include "arguments.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SECONDS_MAX 1e9

noreturn void fail(int exit_code, const char *format, ...)
{
	va_list arguments;

	/* A report printed before belongs before, also where both streams are one file. */
	fflush(stdout);
	fputs("sluice: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(exit_code);
}

uint64_t argument_number(const char *flag, const char *text, uint64_t min, uint64_t max)
{
	char *end = NULL;

	errno = 0;
	const unsigned long long value = strtoull(text, &end, 10);
	/* strtoull takes "-1" and " 1"; here a number begins with a digit. */
	if (*text < '0' || *text > '9' || *end || errno || value < min || value > max)
		fail(EXIT_REFUSED,
		     "%s %s is not possible: give a whole number from %" PRIu64 " to %" PRIu64,
		     flag, text, min, max);
	return value;
}

uint64_t argument_seconds_ns(const char *flag, const char *text)
{
	char *end = NULL;
	const double seconds = strtod(text, &end);

	if (*text < '0' || *text > '9' || *end || !isfinite(seconds) || seconds > SECONDS_MAX)
		fail(EXIT_REFUSED, "%s %s is not possible: give seconds, such as 10 or 0.5", flag,
		     text);
	return (uint64_t)(seconds * 1e9);
}

noreturn void argument_unknown(int result, char *const argv[], const char *command)
{
	/* optopt is a letter only for an unknown short flag, which may stand amid others in one argument. */
	const char letter[] = { '-', (char)optopt, 0 };
	const char *flag = optopt > 0 && optopt < 256 ? letter : argv[optind - 1];

	if (result == ':')
		fail(EXIT_USAGE, "%s needs a value: see sluice %s --help", flag, command);
	fail(EXIT_USAGE, "unknown flag %s: see sluice %s --help", flag, command);
}

int argument_next(int argc, char *argv[], const struct option flags[], const char *command,
		  uint32_t *given)
{
	int index = 0;

	opterr = 0;

	const int flag = getopt_long(argc, argv, ":", flags, &index);

	if (flag == '?' || flag == ':')
		argument_unknown(flag, argv, command);
	if (flag == -1) {
		if (optind < argc)
			fail(EXIT_USAGE, "unknown argument %s: see sluice %s --help", argv[optind],
			     command);
		return flag;
	}
	if (*given & 1u << index && flags[index].has_arg == required_argument)
		fail(EXIT_USAGE, "--%s is given twice: give it once", flags[index].name);
	*given |= 1u << index;
	return flag;
}
