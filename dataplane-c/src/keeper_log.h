/* The keeper's own lines, in the shape of every service's: one JSON object each, on standard error. */
#ifndef SLUICE_KEEPER_LOG_H
#define SLUICE_KEEPER_LOG_H

/*
 * `fields` is the tail of the object, from "msg" on, JSON already: nothing that a
 * stranger chose may stand in it. A line that nobody reads is lost: the keeper
 * never waits for its log.
 */
void keeper_log(const char *level, const char *fields, ...) __attribute__((format(printf, 2, 3)));

#endif
