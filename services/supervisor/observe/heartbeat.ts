import { readSync } from "node:fs";
import { WORKER_BLOCK_INDEX, WORKER_COUNTER } from "@sluice/dataplane/counters";

const COUNTER_BYTES = 8;
const value = new BigUint64Array(1);

/** When the packet thread last looked at its rings, by its counter memory. */
export function readHeartbeat(memory: number | undefined): bigint {
	const offset = (WORKER_BLOCK_INDEX + WORKER_COUNTER.heartbeatNs) * COUNTER_BYTES;
	if (memory !== undefined) readSync(memory, value, 0, COUNTER_BYTES, offset);
	return value[0] ?? 0n;
}
