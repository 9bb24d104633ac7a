/*
 * What makes sure that never two commands of one kind run: a lock on a file, which belongs
 * to an open file that keeper, command and workers share. It is free when the last of them
 * is gone, however they ended.
 */
#ifndef SLUICE_KEEPER_LOCK_H
#define SLUICE_KEEPER_LOCK_H

/*
 * Waits for what another keeper left behind, and after 10 s ends it: every process that
 * has the file open. A signal in `signals` or the end of `input` (-1: none) ends the wait.
 * The locked descriptor, -EINTR, -ETIMEDOUT, or what open says.
 */
int lock_take(const char *path, int signals, int input);

#endif
