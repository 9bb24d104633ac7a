import { readSync } from "node:fs";
import { WORKER_BLOCK_INDEX, WORKER_COUNTER } from "@sluice/dataplane/counters";

const COUNTER_BYTES = 8;
const value = new BigUint64Array(1);

/** When the packet thread last looked at its rings, by its counter memory. */
export function readHeartbeat(memory: number | undefined): bigint {
	return readCounter(memory, WORKER_COUNTER.heartbeatNs);
}

/** How many batches of packets it has handled. */
export function readBatches(memory: number | undefined): bigint {
	return readCounter(memory, WORKER_COUNTER.batches);
}

function readCounter(memory: number | undefined, counter: number): bigint {
	const offset = (WORKER_BLOCK_INDEX + counter) * COUNTER_BYTES;
	if (memory !== undefined) readSync(memory, value, 0, COUNTER_BYTES, offset);
	return value[0] ?? 0n;
}
