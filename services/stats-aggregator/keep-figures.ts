import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { onBeat } from "@sluice/lib/beat";
import { errorText, SluiceError } from "@sluice/lib/errors";
import { type BucketSnapshot, followBucket, type SnapshotEntry } from "@sluice/lib/kv-snapshot";
import type { ServiceLogger } from "@sluice/lib/log";
import { type KeptFigures, KeptFiguresSchema } from "@sluice/proto/gen/stats";
import { buckets, keptFiguresKey } from "@sluice/proto/subjects";
import type { KnownHosts } from "./belongs.ts";
import { steadyNowMs } from "./clock.ts";
import { isConflict, isFiguresKey, readFigures, subjectOf, WRITE_TIMEOUT_MS } from "./figures-bucket.ts";
import { type Fold, foldKept, type HostFold, withEnded } from "./fold.ts";
import { byPart, type Kept, keepLast, type Run, takeLost, type Wanted } from "./kept.ts";
import { decodeKept, encodeKept } from "./stored-figures.ts";
import { FigureSweep } from "./sweep-figures.ts";

const LOOK_EVERY_MS = 1000;
/** A host whose workers were not heard for longer is gone, or cut off. */
const GONE_MS = 5000;
const WRITES_AT_ONCE = 16;
const POLL_MS = 5;
/** Whoever asks for something to be kept is told so within this time, or that it is not. */
const KEPT_LIMIT_MS = 3000;
/** Rules that were lost come back with their uids (ADR 0076), if somebody restores them. */
const DEAD_MS = 24 * 3_600_000;

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
	#stopLooks: () => void = () => {};
	#currentSinceMs = Number.POSITIVE_INFINITY;
	/** By host: when the workers had been heard whose last words are kept. */
	readonly #keptAt = new Map<string, number>();
	#wanted: () => Wanted = () => () => true;
	#onReleased: (host: string) => void = () => {};
	/** Written, and not yet come back as a change of the bucket. */
	readonly #onTheirWay = new WeakSet<Kept>();
	/** More than a message takes. */
	readonly #tooLarge = new WeakSet<Kept>();
	/** Hosts of which that was said. */
	readonly #saidTooLarge = new Set<string>();
	readonly #sweep: FigureSweep;
	readonly #deadMs: number;
	#writing = false;
	#said = "";

	constructor(nc: NatsConnection, fold: Fold, known: KnownHosts, logger: ServiceLogger, deadMs = DEAD_MS) {
		this.#nc = nc;
		this.#fold = fold;
		this.#known = known;
		this.#log = logger.facility("fold");
		this.#deadMs = deadMs;
		this.#sweep = new FigureSweep(nc, fold, deadMs, (key) => this.#take(key, undefined));
	}

	/** Resolves when what is kept stands in the fold: before any counters do. */
	async read(): Promise<void> {
		const onTrouble = (message: string) => this.#log.warn(message);
		const options = { onTrouble, removalsLastMs: this.#sweep.removalsLastMs };
		const snapshot = await followBucket(this.#nc, buckets.figures, KeptFiguresSchema, options);
		this.#snapshot = snapshot;
		this.#sweep.begin(snapshot);
		this.#takeAll(() => true);
		snapshot.onChange(({ key, entry, revision, lost }) => this.#take(key, entry, lost ? 0n : revision));
	}

	/**
	 * @param host on whose beat it looks.
	 * @param wanted which rules there are now.
	 * @param onReleased nothing is known of the host any more.
	 */
	start(host: string, wanted: () => Wanted, onReleased: (host: string) => void = () => {}): void {
		this.#wanted = wanted;
		this.#onReleased = onReleased;
		this.#stopLooks = onBeat(host, LOOK_EVERY_MS, () => void this.#look(GONE_MS));
	}

	/** Keeps what was heard last of every host: relay and nats-server may be stopped together with us. */
	async stop(): Promise<void> {
		this.#stopLooks();
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

	/**
	 * What a host says itself of a run that ended. Resolves when it is kept.
	 * @throws SluiceError `unavailable`: it is to be said again.
	 */
	async takeEnded(host: string, run: Run, heardAtMs: number): Promise<void> {
		if (host === this.#fold.own) return;
		// Else nothing would be heard of the host until that run is reached.
		if (!this.#known.vouchesFor(host, run.incarnation))
			throw new SluiceError("unavailable", `host ${host} has not said yet that it began that run of up`);
		const deadline = performance.now() + KEPT_LIMIT_MS;
		const parts = byPart(run.rows);
		for (;;) {
			// Not in the fold: all aggregators say it as soon as it comes from the bucket, and none before.
			const told = withEnded(this.#fold, host, run.incarnation, parts, heardAtMs);
			const known = this.#fold.hosts.get(host)?.kept;
			const news = [...parts.keys()].flatMap((part) => {
				const kept = told?.kept.get(part);
				return kept !== undefined && (kept.unwritten || kept !== known?.get(part)) ? [{ part, kept }] : [];
			});
			if (told === undefined || news.length === 0) return;
			if (!this.#known.vouchesFor(host, told.incarnation)) throw refusal(host, "somebody spoke in its name");
			if (performance.now() > deadline) throw refusal(host, "NATS is slow, or away");
			await this.#writeTold(host, told.incarnation, news);
		}
	}

	async #writeTold(
		host: string,
		incarnation: bigint,
		news: readonly { part: number; kept: Kept }[],
	): Promise<void> {
		const [rules, nowMs] = [this.#wanted(), steadyNowMs()];
		try {
			const written = news.map(({ part, kept }) =>
				this.#write(keptFiguresKey(host, part), kept, encodeKept(incarnation, kept, rules, nowMs)),
			);
			for (const sequence of await Promise.all(written))
				await this.#snapshot?.reached(BigInt(sequence), WRITE_TIMEOUT_MS);
		} catch (thrown) {
			throw refusal(host, errorText(thrown), thrown);
		}
		if (news.some(({ kept }) => this.#tooLarge.has(kept))) throw refusal(host, "it is too much");
	}

	/**
	 * The host is to be forgotten: nobody would vouch any more for what it said last. Resolves when that is kept.
	 * @throws SluiceError `unavailable`.
	 */
	async takeLast(id: string): Promise<void> {
		await this.#untilKept(id, () => {
			const [, host] = this.#hosts().find(([each]) => each === id) ?? [];
			if (host !== undefined) keepLast(host, heardAtMs(host), this.#wanted());
		});
	}

	/** `take`: again with each stored value, whose writer may not have heard it. */
	async #untilKept(host: string, take: () => void): Promise<void> {
		const deadline = performance.now() + KEPT_LIMIT_MS;
		if (this.#snapshot?.current !== true) throw refusal(host, "NATS is away");
		for (;;) {
			take();
			const waiting = this.#unwritten().filter(({ id }) => id === host);
			if (waiting.length === 0) return;
			if (waiting.some(({ kept }) => this.#tooLarge.has(kept))) throw refusal(host, "it is too much");
			if (performance.now() > deadline) throw refusal(host, this.#said || "NATS is slow, or away");
			if (waiting.some(({ kept }) => !this.#onTheirWay.has(kept))) await this.#look(GONE_MS);
			if (this.#said !== "") throw refusal(host, this.#said);
			await Bun.sleep(POLL_MS);
		}
	}

	#takeAll(isMeant: (key: string) => boolean): void {
		for (const [key, entry] of this.#snapshot?.entries ?? []) if (isMeant(key)) this.#take(key, entry);
	}

	/** `removedAt`: the sequence of the removal, where there is no entry; 0: nothing stands there. */
	#take(key: string, entry: SnapshotEntry<KeptFigures> | undefined, removedAt = 0n): void {
		if (!isFiguresKey(key)) return;
		const [id = "", part = ""] = key.split(".");
		this.#keptAt.delete(id);
		this.#sweep.changed(key);
		if (entry === undefined || !this.#takeKept(key, id, Number(part), entry)) {
			const host = this.#fold.hosts.get(id);
			if (host !== undefined) takeLost(host, Number(part), entry?.revision ?? removedAt, this.#wanted());
		}
	}

	/** False: nobody can read it. */
	#takeKept(key: string, id: string, part: number, entry: SnapshotEntry<KeptFigures>): boolean {
		try {
			const stored = decodeKept(entry.value, entry.revision, writtenMs(entry));
			foldKept(this.#fold, id, part, stored, this.#wanted());
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
		for (const [id, host] of this.#hosts()) this.#keepIfSilent(id, host, silentMs, nowMs);
		this.#writing = true;
		try {
			await this.#writeAll(nowMs);
			this.#said = "";
			if (this.#sweep.due(nowMs)) await this.#sweepAll(nowMs);
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
		const atMs = heardAtMs(host);
		if (atMs === 0 || this.#keptAt.get(id) === atMs) return;
		if (nowMs - Math.max(atMs, this.#currentSinceMs) < silentMs) return;
		keepLast(host, atMs, this.#wanted());
		this.#keptAt.set(id, atMs);
	}

	#unwritten(): { id: string; key: string; kept: Kept; incarnation: bigint }[] {
		return this.#hosts().flatMap(([id, { kept: parts, incarnation }]) =>
			[...parts].flatMap(([part, kept]) =>
				kept.unwritten ? [{ id, key: keptFiguresKey(id, part), kept, incarnation }] : [],
			),
		);
	}

	async #writeAll(nowMs: number): Promise<void> {
		const writes = this.#unwritten().filter(({ kept }) => !this.#tooLarge.has(kept));
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

	/**
	 * What was written comes back as a change of the bucket: until then it stays unwritten.
	 * @returns its sequence; 0: it was not.
	 */
	async #write(key: string, kept: Kept, value: Uint8Array): Promise<number> {
		if (value.length > (this.#nc.info?.max_payload ?? Number.POSITIVE_INFINITY)) {
			this.#refuse(key, kept, value.length);
			return 0;
		}
		try {
			const { seq } = await jetstream(this.#nc).publish(subjectOf(key), value, {
				timeout: WRITE_TIMEOUT_MS,
				expect: { lastSubjectSequence: Number(kept.revision) },
			});
			this.#onTheirWay.add(kept);
			return seq;
		} catch (thrown) {
			if (!isConflict(thrown)) throw thrown;
			await this.#takeWhatStands(key);
			return 0;
		}
	}

	/** It would stop what is kept of every other host. */
	#refuse(key: string, kept: Kept, bytes: number): void {
		this.#tooLarge.add(kept);
		const [host = ""] = key.split(".");
		if (this.#saidTooLarge.has(host)) return;
		this.#saidTooLarge.add(host);
		const line =
			"a host's figures are more than NATS takes, and not kept: totals lack them if it begins anew";
		this.#log.warn({ relay: host, key, bytes }, line);
	}

	async #sweepAll(nowMs: number): Promise<void> {
		const [snapshot, wanted] = [this.#snapshot, this.#wanted()];
		this.#releaseHosts(wanted, nowMs);
		try {
			if (snapshot !== undefined) await this.#sweep.sweep(snapshot, wanted, nowMs);
		} catch (thrown) {
			this.#log.warn({ error: errorText(thrown) }, "figures of what is gone cannot be removed now");
		}
	}

	/** Of hosts that were silent for as long, and counted for no rule that there is, there would be ever more. */
	#releaseHosts(wanted: Wanted, nowMs: number): void {
		const { hosts, own } = this.#fold;
		for (const [id, host] of hosts) {
			if (id === own || host.kept.size > 0 || nowMs - heardAtMs(host) < this.#deadMs) continue;
			if (host.workers.values().some(({ latest }) => latest?.rules.keys().some(wanted) === true)) continue;
			hosts.delete(id);
			this.#keptAt.delete(id);
			this.#saidTooLarge.delete(id);
			this.#onReleased(id);
		}
		this.#known.forgetGone((id) => hosts.has(id));
	}

	/** Another aggregator was first; or somebody has emptied the bucket, which nobody tells those who watch it. */
	async #takeWhatStands(key: string): Promise<void> {
		const jsm = await jetstreamManager(this.#nc, { checkAPI: false, timeout: WRITE_TIMEOUT_MS });
		const stored = await jsm.streams.getMessage(`KV_${buckets.figures}`, { last_by_subj: subjectOf(key) });
		if (stored === null) {
			this.#log.warn("the bucket of kept figures was emptied: what is known of them is written again");
			for (const host of this.#fold.hosts.values())
				for (const part of [...host.kept.keys()]) takeLost(host, part, 0n, this.#wanted());
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

/** 0: none of its workers was. */
function heardAtMs({ workers }: HostFold): number {
	return Math.max(0, ...workers.values().map(({ latest }) => latest?.heardAtMs ?? 0));
}

function refusal(host: string, why: string, cause?: unknown): SluiceError {
	return new SluiceError("unavailable", `what host ${host} counted is not kept: ${why}: try again`, {
		cause,
	});
}

function writtenMs({ writtenUnixMs }: SnapshotEntry<KeptFigures>): number {
	return Math.min(steadyNowMs(), writtenUnixMs);
}
