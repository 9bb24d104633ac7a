#include "sluice.h"

#include <errno.h>
#include <unistd.h>

int sluice_close(int fd)
{
	/* EINTR too has closed it on Linux: closing again could hit somebody else's. */
	return close(fd) && errno != EINTR ? -errno : 0;
}
