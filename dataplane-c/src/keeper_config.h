/* The command's configuration: the first line of the keeper's standard input, which holds secrets. */
#ifndef SLUICE_KEEPER_CONFIG_H
#define SLUICE_KEEPER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#define CONFIG_MAX_BYTES 65536u

struct config_line {
	char *text;   /* never swapped, in no core dump; as far as the kernel allows */
	size_t bytes; /* of it read so far, its newline included */
	bool is_complete;
};

enum config_event {
	CONFIG_NOTHING = 0,
	CONFIG_COMPLETE,
	CONFIG_TOO_LONG,
	/* The end of standard input: whoever started the keeper is gone. */
	CONFIG_END
};

/* 0 or -errno. */
int config_init(struct config_line *config);

/* Reads what is there, once. What follows the line is not for anybody. */
enum config_event config_read(struct config_line *config, int fd);

#endif
