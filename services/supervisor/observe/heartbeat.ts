import { readSync } from "node:fs";
import { WORKER_BLOCK_INDEX, WORKER_COUNTER } from "@sluice/dataplane/counters";

const COUNTER_BYTES = 8;
const OFFSET_BYTES = (WORKER_BLOCK_INDEX + WORKER_COUNTER.heartbeatNs) * COUNTER_BYTES;
const value = new BigUint64Array(1);

/** What the packet thread last wrote into its counter memory. */
export function readHeartbeat(memory: number | undefined): bigint {
	if (memory !== undefined) readSync(memory, value, 0, COUNTER_BYTES, OFFSET_BYTES);
	return value[0] ?? 0n;
}
