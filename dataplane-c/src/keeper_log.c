#include "keeper_log.h"
#include "keeper_time.h"

#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 1024

void keeper_log(const char *level, const char *fields, ...)
{
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };
	char line[LINE_BYTES];
	va_list arguments;
	size_t bytes;
	int tail;

	bytes = (size_t)snprintf(line, sizeof(line),
				 "{\"level\":\"%s\",\"time\":%" PRId64
				 ",\"service\":\"keeper\",\"facility\":\"keeper\",",
				 level, keeper_now_ms(CLOCK_REALTIME));
	va_start(arguments, fields);
	tail = vsnprintf(line + bytes, sizeof(line) - bytes, fields, arguments);
	va_end(arguments);
	if (tail < 0 || bytes + (size_t)tail > sizeof(line) - 3)
		return;
	bytes += (size_t)tail;
	line[bytes++] = '}';
	line[bytes++] = '\n';
	/* Shorter than PIPE_BUF: when a pipe says that it takes something, it takes this whole. */
	if (poll(&out, 1, 0) == 1 && (out.revents & POLLOUT))
		(void)!write(STDERR_FILENO, line, bytes);
}
