import type { JsMsg, StreamInfo } from "@nats-io/jetstream";
import { kvSubject, SWEPT_METADATA } from "@sluice/proto/subjects";
import { errorText } from "./errors.ts";
import { MORE_HEADER } from "./headers.ts";
import { Reading } from "./kv-reading.ts";
import type { Removal, SnapshotChange, SnapshotEntry, StreamIdentity } from "./kv-snapshot.ts";
import { LeftOut } from "./left-out.ts";

export interface ContentOptions<Value> {
	readonly bucket: string;
	/** @throws why a value is left out. */
	readonly decode: (key: string, payload: Uint8Array) => Value;
	/** Of the write that made the value what it is; 0: it is that which it came with. */
	readonly revision: (value: Value) => bigint;
	/** Changes say whether more of the same edit comes. */
	readonly edits: boolean;
	/** After so long nothing is left of the message that removed a key. */
	readonly removalsLastMs: number;
	readonly onTrouble: (what: string) => void;
}

/** Of more removed keys it is asked which of them the stream has no more. */
const REMEMBERED_REMOVALS = 1_000;

/** What has been read of a bucket, and who hears of its changes; how it comes is another's concern (kv-snapshot.ts). */
export class BucketContent<Value> {
	readonly #options: ContentOptions<Value>;
	readonly #prefix: string;
	readonly #leftOut: LeftOut;
	readonly #listeners = new Set<(change: SnapshotChange<Value>) => void>();
	#entries: ReadonlyMap<string, SnapshotEntry<Value>> = new Map();
	#lastSequence = 0n;
	#stream: StreamIdentity = { created: "", metadata: {}, damaged: false };
	#mostRemoved = REMEMBERED_REMOVALS;
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

	get sequences(): ReadonlyMap<string, bigint> {
		return this.#reading?.sequences ?? new Map();
	}

	get removed(): ReadonlyMap<string, Removal> {
		return this.#reading?.removed ?? new Map();
	}

	/** It is time to ask which of the removed keys the stream has no more. */
	get crowded(): boolean {
		return this.removed.size > this.#mostRemoved;
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

	/**
	 * Goes on behind `lastSequence`; fresh when this is another stream than before, or went back in time, or no longer has
	 * all that was written since.
	 */
	begin(info: StreamInfo, fresh = false): Reading<Value> {
		const swept = sweptOf(info);
		const resume =
			!fresh &&
			info.created === this.#stream.created &&
			this.#lastSequence > 0n &&
			BigInt(info.state.last_seq) >= this.#lastSequence &&
			swept <= this.#lastSequence;
		return new Reading(resume ? this.#reading : undefined, swept);
	}

	forgetSwept(info: StreamInfo): void {
		this.#reading?.forget(sweptOf(info));
		this.#mostRemoved = Math.max(REMEMBERED_REMOVALS, 2 * this.removed.size);
	}

	/** @returns whether it can be seen: a first or fresh reading becomes visible as a whole. */
	take(reading: Reading<Value>, message: JsMsg): boolean {
		const revision = BigInt(message.seq);
		const key = message.subject.slice(this.#prefix.length);
		const previous = reading.entries.get(key);
		// A server that was killed finds again what it had let go of.
		const read = revision <= reading.swept ? "removed" : this.#readEntry(key, message, revision);
		const entry = typeof read === "string" ? undefined : read;
		const moved = entry !== undefined && entry.revision === previous?.revision;
		if (entry === undefined) reading.entries.delete(key);
		else if (!moved) reading.entries.set(key, entry);
		const removedUnixMs = read === "removed" ? writtenUnixMs(message) : undefined;
		reading.came(key, revision, removedUnixMs);
		if (reading.fresh && !reading.complete) return false;
		if (removedUnixMs !== undefined) reading.forgetBefore(removedUnixMs - this.#options.removalsLastMs);
		this.#lastSequence = maximum(this.#lastSequence, revision);
		if (moved) return true;
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
		const damaged = reading.keys < listed;
		const another = before.stream.created !== created;
		const wentBack = !another && lastInStream < this.#lastSequence;
		if (damaged && (another || !before.stream.damaged)) this.#sayDamaged(listed, reading.keys);
		if (wentBack) this.#sayWentBack(lastInStream);
		reading.complete = true;
		this.#reading = reading;
		this.#stream = { created, metadata: config.metadata ?? {}, damaged };
		this.#entries = reading.entries;
		this.#lastSequence = maximum(reading.lastSequence, lastInStream);
		const isFirst = before.stream.created === "";
		if (reading.fresh && !isFirst) this.#announceDifferences(before.entries, another || wentBack || damaged);
	}

	#readEntry(key: string, message: JsMsg, revision: bigint): SnapshotEntry<Value> | "removed" | "left out" {
		try {
			// Only removals have an empty payload: headers cost more to read than all the rest.
			if (message.data.length === 0 && (message.headers?.get("KV-Operation") ?? "") !== "") return "removed";
			const value = this.#options.decode(key, message.data);
			this.#leftOut.remove(key);
			const own = this.#options.revision(value);
			const written = own > 0n && own < revision ? own : revision;
			return { value, revision: written, writtenUnixMs: writtenUnixMs(message) };
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

/** Up to where the stream was swept. One that lost its end begins anew with smaller sequences. */
export function sweptOf({ config, state }: StreamInfo): bigint {
	const text = config.metadata?.[SWEPT_METADATA] ?? "";
	const swept = /^[0-9]{1,16}$/.test(text) ? BigInt(text) : 0n;
	return swept <= BigInt(state.last_seq) ? swept : 0n;
}

function writtenUnixMs({ info }: JsMsg): number {
	return Math.floor(info.timestampNanos / 1_000_000);
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
