import {
	type Kept,
	keptAfter,
	type Rows,
	type Run,
	type StoredFigures,
	takeEnded,
	takeStored,
	type Wanted,
} from "./kept.ts";
import { type Chunk, joinChunks, type Sample } from "./sample.ts";

/**
 * The fold: chunks of counters in, the latest complete sample of every worker out. No
 * I/O and no clock of its own, so that two aggregators that heard the same say the same.
 */
export interface Fold {
	/** By host id. */
	readonly hosts: Map<string, HostFold>;
	/** The host that begins anew with the aggregator itself: nothing is kept of it. */
	readonly own: string | undefined;
}

export interface HostFold {
	/** Start of the host's `up`; what workers say is of this one. */
	readonly incarnation: bigint;
	/** By worker slot. */
	readonly workers: Map<number, WorkerFold>;
	/** What it counted before, by part. */
	readonly kept: Map<number, Kept>;
}

export interface WorkerFold {
	latest: Sample | undefined;
	/** What rates are taken against. */
	baseline: Sample | undefined;
	/** The publication whose chunks are coming in. */
	pending: Pending | undefined;
}

interface Pending {
	readonly sequence: bigint;
	/** The first of its chunks, by our clock. */
	readonly heardAtMs: number;
	readonly chunks: (Chunk | undefined)[];
	missing: number;
}

/**
 * What a chunk did: `sample` completed one; `started-over` completed one of a slot whose
 * sequence began anew; `pending` needs its siblings; `stale` speaks of something older
 * than what is known.
 */
export type FoldOutcome = "sample" | "started-over" | "pending" | "stale";

/** Shorter intervals would make rates of noise: a worker publishes once more as it stops. */
const MIN_RATE_INTERVAL_MS = 500n;

/**
 * A slot's sequence grows over the death of its worker. Should one begin anew all the
 * same, this long after the last was heard, it is believed: silence until the old sequence
 * is reached again would be worse.
 */
const STARTED_OVER_AFTER_MS = 1500;

export function emptyFold(own?: string): Fold {
	return { hosts: new Map(), own };
}

/** Takes in what some aggregator has kept of a host. */
export function foldKept(
	fold: Fold,
	host: string,
	part: number,
	stored: StoredFigures,
	wanted: Wanted,
): void {
	if (host !== fold.own) takeStored(ofAtLeast(fold, host, stored.incarnation), part, stored, wanted);
}

/** Takes in what a host's own supervisor says of a run that ended. */
export function foldEnded(fold: Fold, host: string, part: number, run: Run, heardAtMs: number): void {
	if (host !== fold.own) takeEnded(ofAtLeast(fold, host, run.incarnation), part, run, heardAtMs);
}

/** The host as it is with what it says of a run that ended, which the fold does not know yet. */
export function withEnded(
	{ hosts }: Fold,
	host: string,
	incarnation: bigint,
	parts: ReadonlyMap<number, Rows>,
	heardAtMs: number,
): HostFold | undefined {
	const known = hosts.get(host);
	const fold = emptyFold();
	if (known !== undefined) fold.hosts.set(host, { ...known, kept: new Map(known.kept) });
	for (const [part, rows] of parts) foldEnded(fold, host, part, { incarnation, rows }, heardAtMs);
	return fold.hosts.get(host);
}

function ofAtLeast(fold: Fold, host: string, incarnation: bigint): HostFold {
	const known = fold.hosts.get(host);
	return known === undefined || known.incarnation < incarnation ? begin(fold, host, incarnation) : known;
}

/** Takes one chunk in; `heardAtMs` is the aggregator's clock, Unix milliseconds. */
export function foldChunk(fold: Fold, chunk: Chunk, heardAtMs: number): FoldOutcome {
	const host = hostOf(fold, chunk);
	if (host === undefined) {
		return "stale";
	}
	const worker = workerOf(host, chunk.worker);
	const startedOver = isStartedOver(worker.latest, chunk, heardAtMs);
	if (worker.latest !== undefined && chunk.sequence <= worker.latest.sequence && !startedOver) {
		return "stale";
	}
	const pending = pendingOf(worker, chunk, heardAtMs);
	if (pending === undefined) {
		return "stale";
	}
	if (pending.chunks[chunk.chunk] === undefined) {
		pending.chunks[chunk.chunk] = chunk;
		pending.missing -= 1;
	}
	if (pending.missing > 0) {
		return "pending";
	}
	const chunks = pending.chunks.filter((each) => each !== undefined);
	accept(worker, joinChunks(chunks, heardAtMs), startedOver);
	return startedOver ? "started-over" : "sample";
}

function hostOf(fold: Fold, chunk: Chunk): HostFold | undefined {
	const known = fold.hosts.get(chunk.host);
	if (known !== undefined && chunk.incarnation < known.incarnation) {
		return undefined;
	}
	if (known !== undefined && chunk.incarnation === known.incarnation) {
		return known;
	}
	return begin(fold, chunk.host, chunk.incarnation);
}

function begin(fold: Fold, id: string, incarnation: bigint): HostFold {
	const before = id === fold.own ? undefined : fold.hosts.get(id);
	const kept = before === undefined ? new Map<number, Kept>() : keptAfter(before);
	const host: HostFold = { incarnation, workers: new Map(), kept };
	fold.hosts.set(id, host);
	return host;
}

function workerOf(host: HostFold, slot: number): WorkerFold {
	let worker = host.workers.get(slot);
	if (worker === undefined) {
		worker = { latest: undefined, baseline: undefined, pending: undefined };
		host.workers.set(slot, worker);
	}
	return worker;
}

/**
 * By our clock: a worker in foreign hands may have named a time that never comes. The very publication that is known is
 * read again from the stream after each loss of the connection, and not heard anew, whatever the server's clock says of it.
 */
function isStartedOver(latest: Sample | undefined, chunk: Chunk, heardAtMs: number): boolean {
	return (
		latest !== undefined &&
		chunk.sequence < latest.sequence &&
		heardAtMs >= latest.heardAtMs + STARTED_OVER_AFTER_MS
	);
}

/** The publication `chunk` belongs to; a newer one gives up an older that never became whole. */
function pendingOf(worker: WorkerFold, chunk: Chunk, heardAtMs: number): Pending | undefined {
	const { pending } = worker;
	if (pending?.sequence === chunk.sequence && pending.chunks.length === chunk.chunks) {
		return pending;
	}
	if (
		pending !== undefined &&
		chunk.sequence < pending.sequence &&
		heardAtMs < pending.heardAtMs + STARTED_OVER_AFTER_MS
	) {
		return undefined;
	}
	worker.pending = {
		sequence: chunk.sequence,
		heardAtMs,
		chunks: new Array<Chunk | undefined>(chunk.chunks).fill(undefined),
		missing: chunk.chunks,
	};
	return worker.pending;
}

function accept(worker: WorkerFold, sample: Sample, startedOver: boolean): void {
	const { latest } = worker;
	if (startedOver) {
		worker.baseline = undefined;
	} else if (latest !== undefined && sample.atUnixMs >= latest.atUnixMs + MIN_RATE_INTERVAL_MS) {
		worker.baseline = latest;
	}
	worker.latest = sample;
	worker.pending = undefined;
}
