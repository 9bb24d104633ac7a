/* The rtnetlink socket that hears of changes of links and IPv4 addresses. */
#ifndef SLUICE_LINK_WATCH_H
#define SLUICE_LINK_WATCH_H

#include <stdbool.h>

/* Non-blocking, a member of the groups. Descriptor or -errno. */
int link_watch_open(void);

/*
 * Takes all that is queued. True when there was something, or when something was
 * lost: which change it was does not matter, the reader dumps all of it again.
 */
bool link_watch_drain(int fd);

#endif
