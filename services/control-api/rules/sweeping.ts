import { errorText } from "@sluice/lib/errors";
import type { BucketSnapshot } from "@sluice/lib/kv-snapshot";
import type { Logger } from "pino";
import type { RuleWriter } from "./rule-writer.ts";

export interface SweepLimits {
	/** Who was away for less need not read everything when it comes back. */
	readonly keptMs: number;
	/** Of removals that are old enough; fewer are not worth it. */
	readonly least: number;
	/** More removals than this are old enough, whatever their age. */
	readonly most: number;
	readonly everyMs: number;
}

const LIMITS: SweepLimits = { keptMs: 86_400_000, least: 1_000, most: 50_000, everyMs: 600_000 };

type Snapshot = Pick<
	BucketSnapshot<unknown>,
	"entries" | "sequences" | "removed" | "lastSequence" | "onChange"
>;

/**
 * Takes what is left of removed rules out of the bucket (ADR 0133). Looked for after a removal: without any
 * nothing piles up, and nobody is woken.
 */
export class Sweeping {
	readonly #snapshot: Snapshot;
	readonly #writer: Pick<RuleWriter, "moveUp">;
	readonly #sweep: (upTo: bigint) => Promise<void>;
	readonly #log: Logger;
	readonly #limits: SweepLimits;
	readonly #stopFollowing: () => void;
	#swept = 0n;
	#nextMs = 0;

	/** @param sweep everything at the sequence and before it goes. */
	constructor(
		snapshot: Snapshot,
		writer: Pick<RuleWriter, "moveUp">,
		sweep: (upTo: bigint) => Promise<void>,
		log: Logger,
		limits: Partial<SweepLimits> = {},
	) {
		this.#snapshot = snapshot;
		this.#writer = writer;
		this.#sweep = sweep;
		this.#log = log;
		this.#limits = { ...LIMITS, ...limits };
		this.#stopFollowing = snapshot.onChange(({ entry }) => {
			if (entry === undefined) void this.#look();
		});
	}

	stop(): void {
		this.#stopFollowing();
		this.#nextMs = Number.POSITIVE_INFINITY;
	}

	async #look(): Promise<void> {
		if (performance.now() < this.#nextMs) return;
		this.#nextMs = Number.POSITIVE_INFINITY;
		const upTo = sweepUpTo(this.#snapshot, this.#swept, Date.now(), this.#limits);
		try {
			if (upTo !== undefined) await this.#sweepTo(upTo);
		} catch (thrown) {
			this.#log.warn(`what is left of removed rules stays for now: ${errorText(thrown)}`);
		}
		this.#nextMs = performance.now() + this.#limits.everyMs;
	}

	/** Others edit rules in between. */
	async #sweepTo(upTo: bigint): Promise<void> {
		while (!(await this.#writer.moveUp(upTo)));
		await this.#sweep(upTo);
		this.#swept = upTo;
		this.#log.debug({ upTo: String(upTo) }, "removed rules swept");
	}
}

/** Up to which sequence it is worth it; undefined: it is not. Each rule that is moved is paid for by a removal. Pure. */
export function sweepUpTo(
	{ entries, sequences, removed, lastSequence }: Omit<Snapshot, "onChange">,
	swept: bigint,
	nowMs: number,
	{ keptMs, least, most }: SweepLimits,
): bigint | undefined {
	// The stream's end tells that it did not go back. What cannot be decoded cannot be moved.
	let end = lastSequence;
	for (const [name, sequence] of sequences) if (!entries.has(name) && sequence < end) end = sequence;
	const all = [...removed.values()].filter(({ sequence }) => sequence > swept && sequence < end);
	const old = all.filter(({ writtenUnixMs }, k) => nowMs - writtenUnixMs >= keptMs || all.length - k > most);
	const upTo = old.at(-1)?.sequence ?? 0n;
	let moved = 0;
	for (const sequence of sequences.values()) if (sequence <= upTo) moved += 1;
	return old.length >= Math.max(least, moved) ? upTo : undefined;
}
