/* What the keeper's command does in the tests: each role is one way to use or misuse the store. */
#ifndef SLUICE_TEST_KEEPER_ROLES_H
#define SLUICE_TEST_KEEPER_ROLES_H

#include <stdnoreturn.h>

/* Says in one line what it was started with, acts, and waits for its end. */
noreturn void role_play(const char *role);

/* Sends a memfd that holds `text`. */
void role_store_text(const char *text, const char *assignments);

#endif
