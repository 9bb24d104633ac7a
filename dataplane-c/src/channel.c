#include "channel.h"

#include <errno.h>
#include <string.h>

int channel_address(const char *name, struct sockaddr_un *address, socklen_t *length)
{
	size_t name_bytes;

	if (!name)
		return -EINVAL;
	name_bytes = strlen(name);
	/* One byte of sun_path is the NUL that makes the name abstract. */
	if (name_bytes == 0 || name_bytes > sizeof(address->sun_path) - 1)
		return -EINVAL;
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path + 1, name, name_bytes);
	*length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + name_bytes);
	return 0;
}
