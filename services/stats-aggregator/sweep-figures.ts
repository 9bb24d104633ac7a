import { jetstream } from "@nats-io/jetstream";
import { headers, type NatsConnection } from "@nats-io/transport-node";
import type { BucketSnapshot } from "@sluice/lib/kv-snapshot";
import type { KeptFigures } from "@sluice/proto/gen/stats";
import { keptFiguresKey } from "@sluice/proto/subjects";
import { codeOf, isConflict, isFiguresKey, subjectOf, WRITE_TIMEOUT_MS } from "./figures-bucket.ts";
import type { Fold } from "./fold.ts";
import { isDead, type Wanted } from "./kept.ts";

const SWEEP_EVERY_MS = 60_000;
/** Removals of an earlier version, which do not end by themselves, are replaced: so many at once. */
const REPLACED_AT_ONCE = 1_000;
/** The bucket is one of a control-api that does not know messages that end. */
const NO_TTL = 10_166;

type Snapshot = Pick<BucketSnapshot<KeptFigures>, "entries" | "removed">;

/** Removes what counts for no rule that there is, and what an earlier version let hosts write. */
export class FigureSweep {
	readonly #nc: NatsConnection;
	readonly #fold: Fold;
	readonly #deadMs: number;
	readonly #onGone: (key: string) => void;
	/** By key: since when no rule is there that it counts for. */
	readonly #deadSince = new Map<string, number>();
	/** Removals that should have ended. */
	readonly #endless: [string, bigint][] = [];
	#sweptAtMs = Number.NEGATIVE_INFINITY;

	/**
	 * @param deadMs how long what counts for no rule stays, and then the message that removes it.
	 * @param onGone what we wanted to remove is not there.
	 */
	constructor(nc: NatsConnection, fold: Fold, deadMs: number, onGone: (key: string) => void) {
		this.#nc = nc;
		this.#fold = fold;
		this.#deadMs = deadMs;
		this.#onGone = onGone;
	}

	/** After so long nothing is left of a removal. */
	get removalsLastMs(): number {
		return 2 * this.#deadMs;
	}

	/** What stands in the bucket when it was read. */
	begin({ removed }: Snapshot): void {
		for (const [key, { sequence, writtenUnixMs }] of removed)
			if (Date.now() - writtenUnixMs > this.removalsLastMs) this.#endless.push([key, sequence]);
	}

	/** The key has another value, or none. */
	changed(key: string): void {
		this.#deadSince.delete(key);
	}

	due(nowMs: number): boolean {
		return nowMs - this.#sweptAtMs > Math.min(SWEEP_EVERY_MS, this.#deadMs);
	}

	async sweep({ entries }: Snapshot, wanted: Wanted, nowMs: number): Promise<void> {
		this.#sweptAtMs = nowMs;
		const gone = this.#endless.splice(0, REPLACED_AT_ONCE);
		for (const [key, { revision }] of entries) if (!isFiguresKey(key)) gone.push([key, revision]);
		for (const [id, { kept: parts }] of this.#fold.hosts) {
			for (const [part, kept] of parts) {
				const key = keptFiguresKey(id, part);
				const sinceMs = this.#deadSince.get(key) ?? nowMs;
				if (kept.unwritten || !isDead(kept, wanted)) this.#deadSince.delete(key);
				else this.#deadSince.set(key, sinceMs);
				if (this.#deadSince.has(key) && nowMs - sinceMs >= this.#deadMs) gone.push([key, kept.revision]);
			}
		}
		for (const [key, revision] of gone) await this.#remove(key, revision);
	}

	/**
	 * By a message of its own, as everything is written: what is purged may stand there again after a crash of nats-server.
	 * It ends by itself (ADR 0135).
	 */
	async #remove(key: string, revision: bigint, ends = true): Promise<void> {
		const removal = headers();
		removal.set("KV-Operation", "DEL");
		try {
			await jetstream(this.#nc).publish(subjectOf(key), "", {
				headers: removal,
				timeout: WRITE_TIMEOUT_MS,
				expect: { lastSubjectSequence: Number(revision) },
				...(ends ? { ttl: `${Math.ceil(this.#deadMs / 1_000)}s` } : {}),
			});
		} catch (thrown) {
			if (ends && codeOf(thrown) === NO_TTL) await this.#remove(key, revision, false);
			// Another aggregator was first, and its removal may have ended since.
			else if (isConflict(thrown)) this.#onGone(key);
			else throw thrown;
		}
	}
}
