import type { JsMsg, StreamInfo } from "@nats-io/jetstream";
import { kvSubject } from "@sluice/proto/subjects";
import { errorText } from "./errors.ts";
import { MORE_HEADER } from "./headers.ts";
import { Reading } from "./kv-reading.ts";
import type { SnapshotChange, SnapshotEntry, StreamIdentity } from "./kv-snapshot.ts";
import { LeftOut } from "./left-out.ts";

export interface ContentOptions<Value> {
	readonly bucket: string;
	/** @throws why a value is left out. */
	readonly decode: (key: string, payload: Uint8Array) => Value;
	/** Changes say whether more of the same edit comes. */
	readonly edits: boolean;
	readonly onTrouble: (what: string) => void;
}

/** What has been read of a bucket, and who hears of its changes; how it comes is another's concern (kv-snapshot.ts). */
export class BucketContent<Value> {
	readonly #options: ContentOptions<Value>;
	readonly #prefix: string;
	readonly #leftOut: LeftOut;
	readonly #listeners = new Set<(change: SnapshotChange<Value>) => void>();
	#entries: ReadonlyMap<string, SnapshotEntry<Value>> = new Map();
	#lastSequence = 0n;
	#stream: StreamIdentity = { created: "", metadata: {}, damaged: false };
	/** The last that was complete. */
	#reading: Reading<Value> | undefined;

	constructor(options: ContentOptions<Value>) {
		this.#options = options;
		this.#prefix = kvSubject(options.bucket, "");
		this.#leftOut = new LeftOut((what) => options.onTrouble(`bucket ${options.bucket}: ${what}`));
	}

	get entries(): ReadonlyMap<string, SnapshotEntry<Value>> {
		return this.#entries;
	}

	get lastSequence(): bigint {
		return this.#lastSequence;
	}

	get stream(): StreamIdentity {
		return this.#stream;
	}

	onChange(callback: (change: SnapshotChange<Value>) => void): () => void {
		this.#listeners.add(callback);
		return () => this.#listeners.delete(callback);
	}

	/** Goes on behind `lastSequence`; fresh when this is another stream than before, or went back in time. */
	begin({ created, state }: StreamInfo): Reading<Value> {
		const resume =
			created === this.#stream.created &&
			this.#lastSequence > 0n &&
			BigInt(state.last_seq) >= this.#lastSequence;
		return new Reading(resume ? this.#reading : undefined);
	}

	/** @returns whether it can be seen: a first or fresh reading becomes visible as a whole. */
	take(reading: Reading<Value>, message: JsMsg): boolean {
		const revision = BigInt(message.seq);
		const key = message.subject.slice(this.#prefix.length);
		const previous = reading.entries.get(key);
		const read = this.#readEntry(key, message, revision);
		const entry = typeof read === "string" ? undefined : read;
		if (entry === undefined) reading.entries.delete(key);
		else reading.entries.set(key, entry);
		reading.came(key, revision);
		if (reading.fresh && !reading.complete) return false;
		this.#lastSequence = maximum(this.#lastSequence, revision);
		const change = { key, entry, previous, revision, ...(read === "left out" ? { lost: true } : {}) };
		// Headers cost as much to read as all the rest, and amid what was sent at once the answer is yes.
		const last = this.#options.edits && message.info.pending === 0;
		this.#announce(last ? { ...change, more: saysMore(message) } : change);
		return true;
	}

	/**
	 * The initial data, or what was missed, is complete.
	 * @param listed how many keys the stream says that it has.
	 */
	complete(reading: Reading<Value>, { created, config, state }: StreamInfo, listed: number): void {
		const before = { entries: this.#entries, stream: this.#stream };
		const lastInStream = BigInt(state.last_seq);
		const damaged = reading.keys.size < listed;
		const another = before.stream.created !== created;
		const wentBack = !another && lastInStream < this.#lastSequence;
		if (damaged && (reading.fresh || !before.stream.damaged)) this.#sayDamaged(listed, reading.keys.size);
		if (wentBack) this.#sayWentBack(lastInStream);
		reading.complete = true;
		this.#reading = reading;
		this.#stream = { created, metadata: config.metadata ?? {}, damaged };
		this.#entries = reading.entries;
		this.#lastSequence = maximum(reading.lastSequence, lastInStream);
		const isFirst = before.stream.created === "";
		if (reading.fresh && !isFirst) this.#announceDifferences(before.entries, another || wentBack);
	}

	#readEntry(key: string, message: JsMsg, revision: bigint): SnapshotEntry<Value> | "removed" | "left out" {
		try {
			// Only removals have an empty payload: headers cost more to read than all the rest.
			if (message.data.length === 0 && (message.headers?.get("KV-Operation") ?? "") !== "") return "removed";
			const writtenUnixMs = Math.floor(message.info.timestampNanos / 1_000_000);
			const value = this.#options.decode(key, message.data);
			this.#leftOut.remove(key);
			return { value, revision, writtenUnixMs };
		} catch (thrown) {
			this.#leftOut.add(key, errorText(thrown));
			return "left out";
		}
	}

	#announceDifferences(previous: ReadonlyMap<string, SnapshotEntry<Value>>, lost: boolean): void {
		for (const [key, entry] of this.#entries) {
			const before = previous.get(key);
			if (before?.revision !== entry.revision)
				this.#announce({ key, entry, previous: before, revision: entry.revision });
		}
		for (const [key, before] of previous) {
			if (!this.#entries.has(key)) {
				this.#announce({ key, entry: undefined, previous: before, revision: this.#lastSequence, lost });
			}
		}
	}

	#announce(change: SnapshotChange<Value>): void {
		for (const listener of [...this.#listeners]) listener(change);
	}

	#sayDamaged(expected: number, readable: number): void {
		this.#options.onTrouble(
			`bucket ${this.#options.bucket} is damaged: ${expected} entries expected, ${readable} readable: ` +
				"restore the data directory, or apply your rules again",
		);
	}

	#sayWentBack(lastInStream: bigint): void {
		this.#options.onTrouble(
			`bucket ${this.#options.bucket} went back from ${this.#lastSequence} to ${lastInStream}: what was written ` +
				"between is lost: restore the data directory, or apply your rules again",
		);
	}
}

/** Headers that are none say nothing: thrown, they would end the watch, and the next one, and so on. */
function saysMore(message: JsMsg): boolean {
	try {
		return message.headers?.has(MORE_HEADER) === true;
	} catch {
		return false;
	}
}

function maximum(a: bigint, b: bigint): bigint {
	return a > b ? a : b;
}
