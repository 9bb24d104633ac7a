import type { SnapshotEntry } from "./kv-snapshot.ts";

/** One run of a bucket's watch: from the start, or from where an earlier one was. */
export class Reading<Value> {
	complete = false;
	/** True: reads everything into a new map; false: goes on where the last run was. */
	readonly fresh: boolean;
	readonly entries: Map<string, SnapshotEntry<Value>>;
	/** All that ever had a message, those that were removed and those that cannot be decoded among them. */
	readonly keys: Set<string>;
	lastSequence: bigint;
	/** By performance.now(). */
	lastCameMs = performance.now();
	#count = 0;
	#countWhenAsked = 0;

	constructor(earlier: Reading<Value> | undefined) {
		this.fresh = earlier === undefined;
		this.entries = earlier?.entries ?? new Map();
		this.keys = earlier?.keys ?? new Set();
		this.lastSequence = earlier?.lastSequence ?? 0n;
	}

	came(key: string, sequence: bigint): void {
		this.#count += 1;
		this.keys.add(key);
		this.lastCameMs = performance.now();
		if (sequence > this.lastSequence) this.lastSequence = sequence;
	}

	silentSinceLastAsked(): boolean {
		const silent = this.#count === this.#countWhenAsked;
		this.#countWhenAsked = this.#count;
		return silent;
	}
}
