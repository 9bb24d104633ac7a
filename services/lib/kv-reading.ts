import type { Removal, SnapshotEntry } from "./kv-snapshot.ts";

/** One run of a bucket's watch: from the start, or from where an earlier one was. */
export class Reading<Value> {
	complete = false;
	/** True: reads everything into a new map; false: goes on where the last run was. */
	readonly fresh: boolean;
	readonly entries: Map<string, SnapshotEntry<Value>>;
	/** Of the last message of each key that stands there, those that cannot be decoded among them. */
	readonly sequences: Map<string, bigint>;
	/** Keys whose last message says that they were removed, in order of their sequences. */
	readonly removed: Map<string, Removal>;
	/** What stands there or before is no more. */
	readonly swept: bigint;
	lastSequence: bigint;
	/** By performance.now(). */
	lastCameMs = performance.now();
	#count = 0;
	#countWhenAsked = 0;

	constructor(earlier: Reading<Value> | undefined, swept: bigint) {
		this.fresh = earlier === undefined;
		this.entries = earlier?.entries ?? new Map();
		this.sequences = earlier?.sequences ?? new Map();
		this.removed = earlier?.removed ?? new Map();
		this.swept = swept;
		this.lastSequence = earlier?.lastSequence ?? 0n;
		if (earlier !== undefined) this.forget(swept);
	}

	/** How many keys have a message. */
	get keys(): number {
		return this.sequences.size + this.removed.size;
	}

	/** @param removedUnixMs undefined: the key stands there. */
	came(key: string, sequence: bigint, removedUnixMs: number | undefined): void {
		this.#count += 1;
		this.removed.delete(key);
		if (removedUnixMs === undefined) this.sequences.set(key, sequence);
		else {
			this.sequences.delete(key);
			this.removed.set(key, { sequence, writtenUnixMs: removedUnixMs });
		}
		this.lastCameMs = performance.now();
		if (sequence > this.lastSequence) this.lastSequence = sequence;
	}

	/** Those that were removed at the sequence or before: the stream has nothing of them any more. */
	forget(swept: bigint): void {
		for (const [key, { sequence }] of this.removed) if (sequence <= swept) this.removed.delete(key);
	}

	/** Those that were removed before the time, by the server's clock. */
	forgetBefore(unixMs: number): void {
		for (const [key, { writtenUnixMs }] of this.removed) {
			if (writtenUnixMs >= unixMs) return;
			this.removed.delete(key);
		}
	}

	silentSinceLastAsked(): boolean {
		const silent = this.#count === this.#countWhenAsked;
		this.#countWhenAsked = this.#count;
		return silent;
	}
}
