#include "keeper_config.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int config_init(struct config_line *config)
{
	void *memory = mmap(NULL, CONFIG_MAX_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return -errno;
	/* Best effort: a container may forbid either. */
	(void)mlock(memory, CONFIG_MAX_BYTES);
	(void)madvise(memory, CONFIG_MAX_BYTES, MADV_DONTDUMP);
	*config = (struct config_line){ .text = memory };
	return 0;
}

enum config_event config_read(struct config_line *config, int fd)
{
	char ignored[512];
	char *to = config->is_complete ? ignored : config->text + config->bytes;
	const size_t room = config->is_complete ? sizeof(ignored)
						: CONFIG_MAX_BYTES - config->bytes;
	const ssize_t bytes = read(fd, to, room);
	const char *newline;

	if (bytes < 0)
		return errno == EINTR || errno == EAGAIN ? CONFIG_NOTHING : CONFIG_END;
	if (bytes == 0)
		return CONFIG_END;
	if (config->is_complete)
		return CONFIG_NOTHING;
	newline = memchr(to, '\n', (size_t)bytes);
	if (!newline) {
		config->bytes += (size_t)bytes;
		return config->bytes == CONFIG_MAX_BYTES ? CONFIG_TOO_LONG : CONFIG_NOTHING;
	}
	config->bytes = (size_t)(newline + 1 - config->text);
	config->is_complete = true;
	return CONFIG_COMPLETE;
}
