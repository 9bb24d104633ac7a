import { fromBinary } from "@bufbuild/protobuf";
import { JetStreamApiCodes, JetStreamApiError, jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { errorText } from "@sluice/lib/errors";
import { type BucketSnapshot, followBucket, type SnapshotEntry } from "@sluice/lib/kv-snapshot";
import type { ServiceLogger } from "@sluice/lib/log";
import { type KeptFigures, KeptFiguresSchema } from "@sluice/proto/gen/stats";
import {
	buckets,
	ENDED_RUNS,
	endedRunKey,
	KEPT_PARTS,
	keptFiguresKey,
	kvSubject,
} from "@sluice/proto/subjects";
import type { KnownHosts } from "./belongs.ts";
import { steadyNowMs } from "./clock.ts";
import { type Fold, foldEnded, foldKept, type HostFold } from "./fold.ts";
import { type Kept, keepLast, takeLost, type Wanted } from "./kept.ts";
import { decodeEnded, decodeKept, encodeKept } from "./stored-figures.ts";

const LOOK_EVERY_MS = 1000;
/** A host whose workers were not heard for longer is gone, or cut off. */
const GONE_MS = 5000;
const WRITES_AT_ONCE = 16;
const WRITE_TIMEOUT_MS = 2000;
const POLL_MS = 5;

/**
 * Keeps what hosts counted that begin anew or are gone: once each, so that no disk is busy with what
 * workers say each second. Of several aggregators the first to write is believed by all.
 */
export class FigureKeeper {
	readonly #nc: NatsConnection;
	readonly #fold: Fold;
	readonly #known: KnownHosts;
	readonly #log: ReturnType<ServiceLogger["facility"]>;
	#snapshot: BucketSnapshot<KeptFigures> | undefined;
	#timer: ReturnType<typeof setInterval> | undefined;
	#currentSinceMs = Number.POSITIVE_INFINITY;
	/** By host: when the workers had been heard whose last words are kept. */
	readonly #keptAt = new Map<string, number>();
	/** By host: the oldest run that it said ended, and has not said began. */
	readonly #unbegun = new Map<string, bigint>();
	/** By host and part: rules that there were not when what its ended runs say was taken. */
	readonly #leftOut = new Map<string, { id: string; part: number; uids: Set<string> }>();
	/** Since the last look. */
	readonly #forgotten = new Set<string>();
	#wanted: () => Wanted = () => () => true;
	/** Written, and not yet come back as a change of the bucket. */
	readonly #onTheirWay = new WeakSet<Kept>();
	#writing = false;
	#said = "";

	constructor(nc: NatsConnection, fold: Fold, known: KnownHosts, logger: ServiceLogger) {
		this.#nc = nc;
		this.#fold = fold;
		this.#known = known;
		this.#log = logger.facility("fold");
	}

	/** Resolves when what is kept stands in the fold: before any counters do. */
	async read(): Promise<void> {
		const onTrouble = (message: string) => this.#log.warn(message);
		const snapshot = await followBucket(this.#nc, buckets.figures, KeptFiguresSchema, {
			onTrouble,
			fault: (key) => (isFiguresKey(key) ? undefined : "no such part, or run"),
		});
		this.#snapshot = snapshot;
		this.#takeAll(() => true);
		snapshot.onChange(({ key, entry, revision, lost }) => this.#take(key, entry, lost ? 0n : revision));
	}

	/** `wanted`: which rules there are now. */
	start(wanted: () => Wanted): void {
		this.#wanted = wanted;
		this.#timer = setInterval(() => {
			this.#takeLeftOut();
			void this.#look(GONE_MS);
		}, LOOK_EVERY_MS);
	}

	/** Keeps what was heard last of every host: relay and nats-server may be stopped together with us. */
	async stop(): Promise<void> {
		clearInterval(this.#timer);
		while (this.#writing) await Bun.sleep(POLL_MS);
		await this.#look(0);
		// The first may have found out what stands in the bucket.
		if (this.unkept > 0) await this.#look(0);
		this.#snapshot?.stop();
	}

	/** Of how many rules, host by host, figures are to be kept and are not yet. */
	get unkept(): number {
		const waiting = this.#unwritten().filter(({ kept }) => !this.#onTheirWay.has(kept));
		const rulesOf = ({ former, previous, last }: Kept) =>
			Math.max(former.size, previous?.rows.size ?? 0, last?.latest?.rules.size ?? 0);
		return waiting.reduce((sum, { kept }) => sum + rulesOf(kept), 0);
	}

	/** What was kept of a host, and nothing that was said since. */
	takeAnew(host: string): void {
		this.#takeAll((key) => key.startsWith(`${host}.`));
	}

	/** The host's record came. */
	takeBegun(host: string): void {
		const run = this.#unbegun.get(host);
		if (run === undefined || !this.#known.vouchesFor(host, run)) return;
		this.#unbegun.delete(host);
		for (let part = 0; part < KEPT_PARTS; part++) this.#takeEnded(host, part);
	}

	/** What it said last does not wait for silence: who begins after us finds nobody who vouches for it. */
	takeForgotten(host: string): void {
		this.#forgotten.add(host);
		if (this.#timer !== undefined) void this.#look(GONE_MS);
	}

	/** What was kept first: what ended runs say is held against it. */
	#takeAll(isMeant: (key: string) => boolean): void {
		const all = [...(this.#snapshot?.entries ?? [])].filter(([key]) => isMeant(key));
		for (const ofRuns of [false, true])
			for (const [key, entry] of all) if (key.split(".").length > 2 === ofRuns) this.#take(key, entry);
	}

	/** `removedAt`: the sequence of the removal, where there is no entry; 0: nothing stands there. */
	#take(key: string, entry: SnapshotEntry<KeptFigures> | undefined, removedAt = 0n): void {
		const [id = "", part = "", run] = key.split(".");
		if (run === undefined) {
			this.#keptAt.delete(id);
			if (entry === undefined) this.#takeRemoved(id, Number(part), removedAt);
			else this.#takeKept(key, id, Number(part), entry);
		}
		this.#takeEnded(id, Number(part));
	}

	#takeRemoved(id: string, part: number, removedAt: bigint): void {
		const host = this.#fold.hosts.get(id);
		if (host !== undefined) takeLost(host, part, removedAt);
	}

	#takeKept(key: string, id: string, part: number, entry: SnapshotEntry<KeptFigures>): void {
		const read = this.#reading(key, () =>
			foldKept(
				this.#fold,
				id,
				part,
				decodeKept(entry.value, entry.revision, writtenMs(entry)),
				this.#wanted(),
			),
		);
		const host = this.#fold.hosts.get(id);
		if (!read && host !== undefined) takeLost(host, part, entry.revision);
	}

	/** What the host says of its runs that ended: again with each stored value, whose writer may not have heard it. */
	#takeEnded(id: string, part: number): void {
		const isThere = this.#wanted();
		const uids = new Set<string>();
		this.#leftOut.set(keptFiguresKey(id, part), { id, part, uids });
		const wanted = (uid: string) => isThere(uid) || !uids.add(uid);
		const keys = Array.from({ length: ENDED_RUNS }, (_, run) => endedRunKey(id, part, run));
		const entries = keys.flatMap((key) => this.#snapshot?.entries.get(key) ?? []);
		// Oldest first: what was heard of one is in the sums once a newer one is told.
		for (const entry of entries.toSorted((a, b) => Number(a.value.incarnation - b.value.incarnation))) {
			const { incarnation } = entry.value;
			if (!this.#hasBegun(id, incarnation)) {
				if ((this.#unbegun.get(id) ?? incarnation) >= incarnation) this.#unbegun.set(id, incarnation);
				return;
			}
			this.#reading(`${id}.${part}`, () => {
				const run = decodeEnded(entry.value, writtenMs(entry), wanted);
				foldEnded(this.#fold, id, part, run, writtenMs(entry));
			});
		}
	}

	/** Rules that were lost come back with their uids, and with what ended runs counted for them. */
	#takeLeftOut(): void {
		const wanted = this.#wanted();
		for (const { id, part, uids } of [...this.#leftOut.values()])
			if (uids.values().some(wanted)) this.#takeEnded(id, part);
	}

	/** Else its workers would not be heard until that run is reached. */
	#hasBegun(id: string, incarnation: bigint): boolean {
		const known = this.#fold.hosts.get(id)?.incarnation ?? -1n;
		return incarnation <= known || this.#known.vouchesFor(id, incarnation);
	}

	#reading(key: string, read: () => void): boolean {
		try {
			read();
			return true;
		} catch (thrown) {
			this.#log.warn({ key, error: errorText(thrown) }, "figures that were kept are unreadable and left out");
			return false;
		}
	}

	/** Keeps what is to be kept, hosts that were silent for so long among it. */
	async #look(silentMs: number): Promise<void> {
		const nowMs = steadyNowMs();
		if (this.#snapshot?.current !== true) this.#currentSinceMs = Number.POSITIVE_INFINITY;
		else this.#currentSinceMs = Math.min(nowMs, this.#currentSinceMs);
		if (this.#writing || this.#currentSinceMs > nowMs) return;
		for (const [id, host] of this.#hosts())
			this.#keepIfSilent(id, host, this.#forgotten.has(id) ? 0 : silentMs, nowMs);
		this.#forgotten.clear();
		this.#writing = true;
		try {
			await this.#writeAll(nowMs);
			this.#said = "";
		} catch (thrown) {
			// Tried again each second.
			const error = errorText(thrown);
			if (error !== this.#said)
				this.#log.warn({ error }, "figures of hosts that are gone cannot be kept now");
			this.#said = error;
		} finally {
			this.#writing = false;
		}
	}

	/** Of one that has not said itself how it began, nothing is kept: others may have spoken in its name. */
	#hosts(): [string, HostFold][] {
		const { hosts, own } = this.#fold;
		return [...hosts].filter(
			([id, { incarnation }]) => id !== own && this.#known.vouchesFor(id, incarnation),
		);
	}

	#keepIfSilent(id: string, host: HostFold, silentMs: number, nowMs: number): void {
		let heardAtMs = 0;
		for (const { latest } of host.workers.values()) heardAtMs = Math.max(heardAtMs, latest?.heardAtMs ?? 0);
		if (heardAtMs === 0 || this.#keptAt.get(id) === heardAtMs) return;
		if (nowMs - Math.max(heardAtMs, this.#currentSinceMs) < silentMs) return;
		keepLast(host, heardAtMs, this.#wanted());
		this.#keptAt.set(id, heardAtMs);
	}

	#unwritten(): { key: string; kept: Kept; incarnation: bigint }[] {
		return this.#hosts().flatMap(([id, { kept: parts, incarnation }]) =>
			[...parts].flatMap(([part, kept]) =>
				kept.unwritten ? [{ key: keptFiguresKey(id, part), kept, incarnation }] : [],
			),
		);
	}

	async #writeAll(nowMs: number): Promise<void> {
		const writes = this.#unwritten();
		if (writes.length === 0) return;
		const rules = this.#wanted();
		for (let at = 0; at < writes.length; at += WRITES_AT_ONCE) {
			const some = writes.slice(at, at + WRITES_AT_ONCE);
			await Promise.all(
				some.map(({ key, kept, incarnation }) =>
					this.#write(key, kept, encodeKept(incarnation, kept, rules, nowMs)),
				),
			);
		}
	}

	/** What was written comes back as a change of the bucket: until then it stays unwritten. */
	async #write(key: string, kept: Kept, value: Uint8Array): Promise<void> {
		try {
			await jetstream(this.#nc).publish(subjectOf(key), value, {
				timeout: WRITE_TIMEOUT_MS,
				expect: { lastSubjectSequence: Number(kept.revision) },
			});
			this.#onTheirWay.add(kept);
		} catch (thrown) {
			const conflict =
				thrown instanceof JetStreamApiError && thrown.code === JetStreamApiCodes.StreamWrongLastSequence;
			if (!conflict) throw thrown;
			await this.#takeWhatStands(key);
		}
	}

	/** Another aggregator was first; or somebody has emptied the bucket, which nobody tells those who watch it. */
	async #takeWhatStands(key: string): Promise<void> {
		const jsm = await jetstreamManager(this.#nc, { checkAPI: false, timeout: WRITE_TIMEOUT_MS });
		const stored = await jsm.streams.getMessage(`KV_${buckets.figures}`, { last_by_subj: subjectOf(key) });
		if (stored === null) {
			this.#log.warn("the bucket of kept figures was emptied: what is known of them is written again");
			for (const host of this.#fold.hosts.values())
				for (const part of host.kept.keys()) takeLost(host, part, 0n);
			return;
		}
		const revision = BigInt(stored.seq);
		const value = readFigures(stored.data);
		if (value !== undefined)
			return this.#take(key, { value, revision, writtenUnixMs: stored.time.getTime() });
		// Removed, or nobody can read it: the next write takes its place.
		this.#take(key, undefined, revision);
	}
}

/** A supervisor's permissions leave the part open. */
function isFiguresKey(key: string): boolean {
	const [, part = "", run = "0"] = key.split(".");
	return isBelow(KEPT_PARTS, part) && isBelow(ENDED_RUNS, run);
}

function isBelow(limit: number, token: string): boolean {
	return /^(0|[1-9]\d?)$/.test(token) && Number(token) < limit;
}

/** Undefined: there are none that can be read. */
function readFigures(data: Uint8Array): KeptFigures | undefined {
	if (data.length === 0) return undefined;
	try {
		return fromBinary(KeptFiguresSchema, data);
	} catch {
		return undefined;
	}
}

function subjectOf(key: string): string {
	return kvSubject(buckets.figures, key);
}

function writtenMs({ writtenUnixMs }: SnapshotEntry<KeptFigures>): number {
	return Math.min(steadyNowMs(), writtenUnixMs);
}
