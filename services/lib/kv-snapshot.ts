import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import {
	JetStreamApiCodes,
	JetStreamApiError,
	type JetStreamClient,
	type JetStreamManager,
	jetstream,
	jetstreamManager,
} from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { kvSubject } from "@sluice/proto/subjects";
import { errorText, SluiceError } from "./errors.ts";
import { BucketContent, sweptOf } from "./kv-content.ts";
import { BucketWatch } from "./kv-watch.ts";
import { Waiters } from "./waiters.ts";

export interface SnapshotEntry<Value> {
	readonly value: Value;
	/** Stream sequence of the write that made the value what it is. */
	readonly revision: bigint;
	/** When it was written, Unix milliseconds by the server's clock. */
	readonly writtenUnixMs: number;
}

/** A key was removed by the message of this sequence. */
export interface Removal {
	readonly sequence: bigint;
	/** Unix milliseconds by the server's clock. */
	readonly writtenUnixMs: number;
}

export interface SnapshotChange<Value> {
	readonly key: string;
	/** Absent: the key was removed. */
	readonly entry: SnapshotEntry<Value> | undefined;
	readonly previous: SnapshotEntry<Value> | undefined;
	/** Stream sequence of the change, also of a removal. */
	readonly revision: bigint;
	/**
	 * Nobody removed it: the bucket is another one than before or went back in time, and lacks it; or what stands there
	 * now is left out.
	 */
	readonly lost?: boolean;
	/** Told of the last change that is known of: whether its writer said that more of the same edit comes. */
	readonly more?: boolean;
}

export interface FollowOptions<Value = never> {
	/** Only this key. */
	readonly key?: string;
	/** Why a value of so many bytes is left out: the server's permissions guard keys, not what is written there. */
	readonly fault?: (key: string, value: Value, bytes: number) => string | undefined;
	/** Of the write that made the value what it is, where its message is a later one; 0: it is that one. */
	readonly revision?: (value: Value) => bigint;
	/** Changes say whether more of the same edit comes. */
	readonly edits?: boolean;
	/** What removes a key ends by itself, and has when a removal comes that is later by so much: its key is forgotten. */
	readonly removalsLastMs?: number;
	/** Something to say to the log: the bucket is missing, an entry is unreadable, the watch starts anew. */
	readonly onTrouble?: (message: string) => void;
	/** Ends the wait for a bucket that does not exist yet. */
	readonly signal?: AbortSignal;
}

export interface StreamIdentity {
	/** When it was created, as its server says it; empty before the first reading. */
	readonly created: string;
	readonly metadata: Readonly<Record<string, string>>;
	/** Its server announced more entries than it could deliver: what is missing was not removed. */
	readonly damaged: boolean;
}

/** A bucket's content, kept current. */
export interface BucketSnapshot<Value> {
	readonly entries: ReadonlyMap<string, SnapshotEntry<Value>>;
	/** Stream sequences of the last messages of the keys that stand there, those whose value is left out among them. */
	readonly sequences: ReadonlyMap<string, bigint>;
	/** Keys that were removed and that the stream may still have a message of, oldest first. */
	readonly removed: ReadonlyMap<string, Removal>;
	/** Everything up to this stream sequence is in `entries`. */
	readonly lastSequence: bigint;
	/** Which stream `entries` were read from: tells a bucket from its successor of the same name. */
	readonly stream: StreamIdentity;
	/** False while the connection is away or the bucket is missing: `entries` is then what was last seen. */
	readonly current: boolean;
	/** Since when it is, performance.now(); infinite while it is not. */
	readonly currentSinceMs: number;
	/** Until when it was before that; infinitely long ago if it never was. */
	readonly currentUntilMs: number;
	/** Called after each change that came after the initial data, in stream order; returns the way to stop. */
	onChange(callback: (change: SnapshotChange<Value>) => void): () => void;
	/** Waits until everything the stream holds now is in `entries`; throws `unavailable` after the time. */
	catchUp(timeoutMs: number): Promise<void>;
	/** Waits until everything up to a sequence is in `entries`; throws `unavailable` after the time. */
	reached(sequence: bigint, timeoutMs: number): Promise<void>;
	stop(): void;
}

/**
 * Follows a KV bucket. Resolves when its initial data are complete; from then on
 * resumes after every reconnect where it was, and reads all anew when the bucket
 * is another one than before. A missing bucket is waited for: it is lost, not empty.
 */
export async function followBucket<Schema extends DescMessage>(
	nc: NatsConnection,
	bucket: string,
	schema: Schema,
	options: FollowOptions<MessageShape<Schema>> = {},
): Promise<BucketSnapshot<MessageShape<Schema>>> {
	const follower = new BucketFollower<MessageShape<Schema>>(
		nc,
		bucket,
		(key, payload) => {
			const value = fromBinary(schema, payload);
			const fault = options.fault?.(key, value, payload.length);
			if (fault !== undefined) throw new Error(fault);
			return value;
		},
		options,
	);
	await follower.start();
	return follower;
}

const REQUEST_TIMEOUT_MS = 2_000;
const RETRY_MS = 250;
const RETRY_LIMIT_MS = 4_000;
/** At a cluster's first start everybody waits for control-api to create the buckets. */
const MISSING_RETRY_MS = 50;
/** Missing for less is that first start, and nobody's concern. */
const MISSING_SAID_AFTER_MS = 1_000;
/** Whoever waits for a sequence that does not come gets a fresh reading after this long. */
const GAP_MS = 1_000;

class BucketFollower<Value> implements BucketSnapshot<Value> {
	#current = false;
	#becameCurrentMs = 0;
	#leftMs = Number.NEGATIVE_INFINITY;
	#stopped = false;
	/** Grows with every (re)start of the watch; messages of an older one are ignored. */
	#session = 0;
	#watch: BucketWatch<Value> | undefined;
	readonly #waiters = new Waiters();
	readonly #nc: NatsConnection;
	readonly #stream: string;
	readonly #bucket: string;
	readonly #content: BucketContent<Value>;
	readonly #options: Omit<FollowOptions<Value>, "fault">;
	#asking = false;
	#js: JetStreamClient | undefined;
	#jsm: JetStreamManager | undefined;

	constructor(
		nc: NatsConnection,
		bucket: string,
		decode: (key: string, payload: Uint8Array) => Value,
		options: Omit<FollowOptions<Value>, "fault">,
	) {
		this.#nc = nc;
		this.#bucket = bucket;
		this.#stream = `KV_${bucket}`;
		const { edits = false, onTrouble = () => {}, revision = () => 0n } = options;
		const { removalsLastMs = Number.POSITIVE_INFINITY } = options;
		this.#content = new BucketContent({ bucket, decode, revision, edits, removalsLastMs, onTrouble });
		this.#options = options;
	}

	get entries(): ReadonlyMap<string, SnapshotEntry<Value>> {
		return this.#content.entries;
	}

	get sequences(): ReadonlyMap<string, bigint> {
		return this.#content.sequences;
	}

	get removed(): ReadonlyMap<string, Removal> {
		return this.#content.removed;
	}

	get lastSequence(): bigint {
		return this.#content.lastSequence;
	}

	get stream(): StreamIdentity {
		return this.#content.stream;
	}

	get current(): boolean {
		return this.#current && !this.#nc.isClosed();
	}

	get currentSinceMs(): number {
		return this.current ? this.#becameCurrentMs : Number.POSITIVE_INFINITY;
	}

	get currentUntilMs(): number {
		return this.#leftMs;
	}

	async start(): Promise<void> {
		this.#options.signal?.addEventListener("abort", () => this.stop(), { once: true });
		void this.#watchConnection();
		await this.#restart();
		if (this.#stopped) throw new SluiceError("unavailable", `${this.#bucket}: stopped before it was read`);
	}

	onChange(callback: (change: SnapshotChange<Value>) => void): () => void {
		return this.#content.onChange(callback);
	}

	stop(): void {
		this.#stopped = true;
		this.#current = false;
		this.#session += 1;
		this.#watch?.stop();
		this.#waiters.wake();
	}

	async catchUp(timeoutMs: number): Promise<void> {
		const deadline = performance.now() + timeoutMs;
		// What is asked while the connection is away gets no answer, so that is waited for first.
		await this.#waitUntil(() => this.#current, deadline);
		const info = await this.#streamInfo().catch((cause: unknown) => {
			throw new SluiceError("unavailable", `the storage of ${this.#bucket} does not answer: try again`, {
				cause,
			});
		});
		const wanted = BigInt(info.state.last_seq);
		if (this.#current && info.created !== this.stream.created) void this.#restart();
		const caughtUp = () => this.#current && this.lastSequence >= wanted;
		const rereadAt = Math.min(deadline, performance.now() + GAP_MS);
		try {
			await this.#waitUntil(caughtUp, rereadAt);
		} catch (late) {
			if (this.#stopped || rereadAt === deadline) throw late;
			// The last message was deleted from the stream: nothing with that sequence ever comes.
			void this.#restart();
			await this.#waitUntil(caughtUp, deadline);
		}
	}

	reached(sequence: bigint, timeoutMs: number): Promise<void> {
		return this.#waitUntil(() => this.lastSequence >= sequence, performance.now() + timeoutMs);
	}

	async #waitUntil(condition: () => boolean, deadline: number): Promise<void> {
		await this.#waiters.until(() => this.#stopped || condition(), deadline);
		if (!condition())
			throw new SluiceError("unavailable", `${this.#bucket} is not up to date yet: try again`);
	}

	async #watchConnection(): Promise<void> {
		for await (const status of this.#nc.status()) {
			if (this.#stopped) return;
			if (status.type === "disconnect" || status.type === "close") this.#leave();
			// The server may have forgotten the consumer, which lives in its memory.
			if (status.type === "reconnect") void this.#restart();
		}
	}

	#leave(): void {
		if (this.#current) this.#leftMs = performance.now();
		this.#current = false;
	}

	/** Opens the watch, trying until it stands, another restart takes over, or we are stopped. */
	async #restart(): Promise<void> {
		this.#session += 1;
		const session = this.#session;
		this.#watch?.stop();
		this.#leave();
		const startedAt = performance.now();
		let said = "";
		let retryMs = RETRY_MS;
		while (!this.#stopped && session === this.#session) {
			try {
				await this.#open(session);
				if (session === this.#session) return;
			} catch (thrown) {
				// The process is leaving, and nobody reads on.
				if (this.#nc.isDraining() || this.#nc.isClosed()) this.stop();
				if (this.#stopped) return;
				const missing = isStreamMissing(thrown);
				const message = missing
					? `bucket ${this.#bucket} does not exist: waiting for it`
					: `bucket ${this.#bucket} cannot be read: ${reasonOf(thrown)}`;
				const early = missing && performance.now() - startedAt < MISSING_SAID_AFTER_MS;
				if (!early && message !== said) {
					this.#options.onTrouble?.(message);
					said = message;
				}
				await Bun.sleep(missing ? MISSING_RETRY_MS : retryMs);
				if (!missing) retryMs = Math.min(2 * retryMs, RETRY_LIMIT_MS);
			}
		}
		// A later restart took over: whoever waits for the first reading waits for that one.
		while (!this.#stopped && !this.#current) await this.#waiters.nextChange(RETRY_MS);
	}

	async #streamInfo() {
		this.#jsm ??= await jetstreamManager(this.#nc, { checkAPI: false, timeout: REQUEST_TIMEOUT_MS });
		return await this.#jsm.streams.info(this.#stream);
	}

	async #open(session: number, fresh = false): Promise<void> {
		const info = await this.#streamInfo();
		this.#js ??= jetstream(this.#nc);
		const reading = this.#content.begin(info, fresh);
		const over = () => session !== this.#session;
		const watch = await BucketWatch.open(this.#js, {
			stream: this.#stream,
			filter: kvSubject(this.#bucket, this.#options.key ?? ">"),
			after: reading.fresh ? undefined : this.lastSequence,
			reading,
			onMessage: (message) => {
				if (this.#content.take(reading, message)) this.#waiters.wake();
				if (this.#content.crowded) void this.#forgetSwept();
			},
			onEnd: () => void this.#restart(),
			over,
		});
		if (over()) return watch.stop();
		this.#watch = watch;
		try {
			await watch.readAll();
			// Of one key there is no telling: the index counts all.
			const all = this.#options.key === undefined;
			const listed = all ? await watch.keysListed(info, () => this.#streamInfo()) : 0;
			const missed = all && sweptOf(await this.#streamInfo()) > reading.swept;
			if (over()) return;
			// What was swept while we read may not have come; and only who reads all can say what is missing.
			if (missed || (!reading.fresh && reading.keys < listed)) {
				watch.stop();
				return await this.#open(session, true);
			}
			this.#current = true;
			this.#becameCurrentMs = performance.now();
			this.#content.complete(reading, info, listed);
			this.#waiters.wake();
		} catch (thrown) {
			// The next attempt has a consumer of its own.
			watch.stop();
			throw thrown;
		}
	}

	/** Or the keys of all that was ever removed pile up. */
	async #forgetSwept(): Promise<void> {
		if (this.#asking) return;
		this.#asking = true;
		await this.#streamInfo().then(
			(info) => info.created === this.stream.created && this.#content.forgetSwept(info),
			// Asked again with the next change.
			() => {},
		);
		this.#asking = false;
	}
}

/** The same for each try: nats-server names the inbox of a consumer, which is another each time. */
function reasonOf(thrown: unknown): string {
	const text = errorText(thrown).replace(/_INBOX\.\S+?(?=["'\s]|$)/g, "_INBOX");
	return /permissions violation/i.test(text)
		? `${text}: its credential is not for this: make one anew with sluice credentials`
		: text;
}

function isStreamMissing(thrown: unknown): boolean {
	return thrown instanceof JetStreamApiError && thrown.code === JetStreamApiCodes.StreamNotFound;
}
