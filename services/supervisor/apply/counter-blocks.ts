/** Multiples of a cache line (8 u64), so that no two rules share one. */
const BLOCK_STEP = 8;

export interface CounterBlock {
	readonly index: number;
	/** u64 counters. */
	readonly count: number;
}

export interface BlockLayout {
	readonly next: number;
	/** Owner, index, count. */
	readonly owned: readonly (readonly [string, number, number])[];
	/** Count, indices. */
	readonly free: readonly (readonly [number, readonly number[]])[];
}

/**
 * Who owns which part of the counter memory; the same layout in every worker's.
 *
 * A block is found by its owner's name and stays where it is as long as the owner
 * is named by a table, through edits, pauses and restarts of workers. A block that
 * is given up must be zeroed before it is recycled, and only once no worker has a
 * table that names it, and no batch that was begun with one.
 */
export class CounterBlocks {
	readonly #owned = new Map<string, CounterBlock>();
	readonly #retired = new Set<CounterBlock>();
	readonly #free = new Map<number, number[]>();
	readonly #capacity: number;
	#next: number;

	/** `reserved` counters at the start belong to the worker itself. */
	constructor(capacity: number, reserved: number) {
		this.#capacity = capacity;
		this.#next = roundUp(reserved);
	}

	/** All of it, for a successor. */
	layout(): BlockLayout {
		return {
			next: this.#next,
			owned: [
				...[...this.#owned].map(([owner, { index, count }]) => [owner, index, count] as const),
				// Not zeroed yet: a successor finds them owned by nobody that its table names.
				...[...this.#retired].map(({ index, count }) => [`retired/${index}`, index, count] as const),
			],
			free: [...this.#free].map(([count, indices]) => [count, [...indices]]),
		};
	}

	/** A predecessor's. Before any is assigned. */
	adopt({ next, owned, free }: BlockLayout): void {
		this.#next = next;
		for (const [owner, index, count] of owned) this.#owned.set(owner, { index, count });
		for (const [count, indices] of free) this.#free.set(count, [...indices]);
	}

	/** Index of the owner's block; a new one when it has none, or undefined when the memory is used up. */
	assign(owner: string, counters: number): number | undefined {
		const existing = this.#owned.get(owner);
		if (existing !== undefined) return existing.index;
		const count = roundUp(counters);
		const index = this.#free.get(count)?.pop() ?? this.#extend(count);
		if (index !== undefined) this.#owned.set(owner, { index, count });
		return index;
	}

	/** Takes the blocks of all owners that are not to be kept; they are nobody's until recycled. */
	retire(keep: ReadonlySet<string>): void {
		for (const [owner, block] of this.#owned) {
			if (keep.has(owner)) continue;
			this.#owned.delete(owner);
			this.#retired.add(block);
		}
	}

	/** Zeroes what was retired, and gives it to whoever comes next. */
	recycle(zero: (block: CounterBlock) => void): void {
		for (const block of this.#retired) {
			zero(block);
			const list = this.#free.get(block.count);
			if (list === undefined) this.#free.set(block.count, [block.index]);
			else list.push(block.index);
		}
		this.#retired.clear();
	}

	#extend(count: number): number | undefined {
		if (this.#next + count > this.#capacity) return undefined;
		const index = this.#next;
		this.#next += count;
		return index;
	}
}

function roundUp(counters: number): number {
	return Math.ceil(counters / BLOCK_STEP) * BLOCK_STEP;
}
