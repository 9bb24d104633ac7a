import { createMemory } from "@sluice/dataplane/descriptor-store";
import { hasEnded, signalProcess } from "@sluice/dataplane/process";
import { closeDescriptor } from "@sluice/dataplane/supervisor";
import type { SupervisorConfig } from "../config.ts";
import { type StoredDescriptor, takeStored } from "../fd-store.ts";
import type { Logger } from "../logger.ts";
import { endBefore, pidOf } from "./adopted-process.ts";
import { type Figures, takeFigures } from "./figures.ts";
import type { Keeping } from "./keeping.ts";
import { ATTEMPT, type Kept, parseName, type ShardsName, workerName } from "./names.ts";
import type { Notes } from "./notes.ts";

export interface InheritedShards extends ShardsName {
	readonly mapFd: number;
	/** By worker slot. */
	readonly shards: readonly { readonly socket: number; readonly state: number }[];
}

/** What a supervisor before this one left. */
export interface Inheritance {
	readonly channel: string;
	readonly listener: number;
	readonly notes: Notes;
	/** Undefined: none was built. */
	readonly table: number | undefined;
	readonly shards: readonly InheritedShards[];
	readonly drains: readonly (Kept & { readonly kind: "drain"; readonly fd: number })[];
	readonly memberships: readonly { readonly number: number; readonly fd: number }[];
	/** Processes that live, by slot. */
	readonly workers: ReadonlyMap<number, { readonly pid: number; readonly pidfd: number }>;
	/** How those ended that died while there was no supervisor, by slot. */
	readonly ended: ReadonlyMap<number, string>;
}

export interface Taken {
	/** What makes sure that nobody else is at work; for the workers too. */
	readonly lock: number | undefined;
	/** Undefined: there are none that fit. */
	readonly figures: Figures | undefined;
	/** Undefined: a fresh start. */
	readonly inheritance: Inheritance | undefined;
}

type Identity = Pick<SupervisorConfig, "incarnation" | "workers">;
type Named = { readonly kept: Kept; readonly fd: number };

/**
 * Takes what the keeper kept. When that is not all there, or another's, its workers are
 * ended and all of it but the figures is let go: a fresh start. Once, before anything else.
 */
export function takeInheritance(identity: Identity, keeping: Keeping, log: Logger): Taken {
	const stored = takeStored();
	const named = stored.flatMap(({ name, fd }): Named[] => {
		const kept = parseName(name);
		return kept === undefined ? [] : [{ kept, fd }];
	});
	const lock = named.find(({ kept }) => kept.kind === "lock")?.fd;
	const figures = takeFigures(named, identity);
	const others = stored.filter(({ fd }) => fd !== lock && !figures?.fds.includes(fd));
	if (others.length === 0) return { lock, figures, inheritance: undefined };
	const isWhole = named.length === stored.length && figures?.notes !== undefined;
	const inheritance = isWhole ? complete(named, identity, figures.notes, keeping) : undefined;
	if (inheritance === undefined) {
		log.warn({ descriptors: others.length }, "what was kept cannot be taken over: a fresh start");
		letGo(others, named, keeping);
	} else {
		const attempt = createMemory();
		keeping.keep(ATTEMPT, [attempt]);
		closeDescriptor(attempt);
	}
	return { lock, figures, inheritance };
}

/** So many successors died before they had settled: what they inherit may be why. */
const MOST_ATTEMPTS = 5;

function complete(
	named: readonly Named[],
	{ workers }: Identity,
	notes: Notes,
	keeping: Keeping,
): Inheritance | undefined {
	const of = <Kind extends Kept["kind"]>(kind: Kind) =>
		named.flatMap(({ kept, fd }) =>
			kept.kind === kind ? [{ ...(kept as Extract<Kept, { kind: Kind }>), fd }] : [],
		);
	const [listener] = of("channel");
	const shards = shardsOf(of("shards"), workers);
	const attempts = of("attempt").map(({ fd }) => fd);
	if (attempts.length >= MOST_ATTEMPTS) return undefined;
	if (listener === undefined || shards === undefined) return undefined;
	for (const fd of attempts) closeDescriptor(fd);
	return {
		channel: listener.channel,
		listener: listener.fd,
		notes,
		table: of("table")[0]?.fd,
		shards,
		drains: of("drain"),
		memberships: of("membership"),
		...found(of("worker"), keeping),
	};
}

/** Those that ended meanwhile are started anew. */
function found(
	kept: readonly { readonly slot: number; readonly fd: number }[],
	keeping: Keeping,
): Pick<Inheritance, "workers" | "ended"> {
	const workers = new Map<number, { readonly pid: number; readonly pidfd: number }>();
	const ended = new Map<number, string>();
	for (const { slot, fd } of kept) {
		const pid = pidOf(fd);
		if (pid !== undefined) {
			workers.set(slot, { pid, pidfd: fd });
			continue;
		}
		ended.set(slot, endBefore(fd));
		keeping.release(workerName(slot));
		closeDescriptor(fd);
	}
	return { workers, ended };
}

/** Each interface's were stored in one message, so they are all there; undefined: they are not. */
function shardsOf(
	kept: readonly (ShardsName & { readonly fd: number })[],
	workers: number,
): InheritedShards[] | undefined {
	const byInterface = Map.groupBy(kept, ({ ifindex }) => ifindex);
	const all: InheritedShards[] = [];
	for (const group of byInterface.values()) {
		const [first, ...rest] = group;
		if (first === undefined || rest.length !== 2 * workers) return undefined;
		const shards = Array.from({ length: workers }, (_, slot) => ({
			socket: rest[2 * slot]?.fd ?? -1,
			state: rest[2 * slot + 1]?.fd ?? -1,
		}));
		all.push({ ifindex: first.ifindex, firstId: first.firstId, ring: first.ring, mapFd: first.fd, shards });
	}
	return all;
}

const KILL_LIMIT_MS = 2_000;

/** Nobody may drive a ring that is made anew, so its workers go first. */
function letGo(stored: readonly StoredDescriptor[], named: readonly Named[], keeping: Keeping): void {
	const workers = named.filter(({ kept }) => kept.kind === "worker").map(({ fd }) => fd);
	for (const pidfd of workers) signalProcess(pidfd, "SIGKILL");
	const deadline = performance.now() + KILL_LIMIT_MS;
	while (workers.some((pidfd) => !hasEnded(pidfd)) && performance.now() < deadline) Bun.sleepSync(5);
	for (const name of new Set(stored.map(({ name }) => name))) keeping.release(name);
	for (const { fd } of stored) closeDescriptor(fd);
}
