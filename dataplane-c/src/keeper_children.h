/* Everything below the keeper: the command, and what it left behind. */
#ifndef SLUICE_KEEPER_CHILDREN_H
#define SLUICE_KEEPER_CHILDREN_H

#include <sys/types.h>

/* Signals each child, adopted ones included; their own children are not touched. */
void children_signal(int signal);

/* "SIGKILL" or "exit code 1", for the log. Static. */
const char *children_how(int status);

#endif
