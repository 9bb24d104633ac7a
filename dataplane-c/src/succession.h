/*
 * Who goes on in a shard when the one that drives it ends, decided while both live. The
 * thread that sees the end (life_watch.c) carries it out by itself: what has to be asked
 * first is asked on a machine that is just losing half of its workers.
 *
 *   supervisor                   life watch                        successor
 *   sluice_successor_name ──▶ order
 *                              end of the driver seen
 *                              settles the shard's counts
 *        ◀── SUCCEEDED ──────
 *                              ATTACH_SHARD ──────────────────────▶ goes on in the ring
 *        ◀──────────────────────────────────────────────── ACK ───
 *        ◀── GONE (of the driver)
 */
#ifndef SLUICE_SUCCESSION_H
#define SLUICE_SUCCESSION_H

#include <stdint.h>

/* The packet thread on that connection has ended: carries out what was ordered for its shards. */
void succession_carry_out(uint32_t driver);
void succession_forget_all(void);

#endif
