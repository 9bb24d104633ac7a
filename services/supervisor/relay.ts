import {
	INTERFACE_COUNTERS,
	OUTPUT_COUNTERS,
	RULE_COUNTERS,
	WORKER_COUNTERS,
} from "@sluice/dataplane/counters";
import { probeFeatures } from "@sluice/dataplane/host";
import { ABI_VERSION, LIMITS } from "@sluice/dataplane/layout";
import { TableBuilder } from "@sluice/dataplane/records";
import * as dataplane from "@sluice/dataplane/supervisor";
import type { ServiceLogger } from "@sluice/lib/log";
import { type Figures, makeFigures } from "./adopt/figures.ts";
import { fingerprintOf } from "./adopt/fingerprint.ts";
import type { Inheritance } from "./adopt/inheritance.ts";
import type { Keeping } from "./adopt/keeping.ts";
import { KeptSockets } from "./adopt/kept-sockets.ts";
import { ATTEMPT, membershipName, TABLE } from "./adopt/names.ts";
import { Applier } from "./apply/applier.ts";
import type { Dataplane } from "./apply/dataplane.ts";
import { EgressOpener } from "./apply/egress.ts";
import { MembershipPool } from "./apply/membership-pool.ts";
import { OpenResources } from "./apply/open-resources.ts";
import { ShardDrivers } from "./apply/shard-drivers.ts";
import { ShardOpener } from "./apply/shards.ts";
import { TableInstaller } from "./apply/tables.ts";
import type { Workers } from "./apply/workers.ts";
import { SHARD_MINIMUM_BYTES, type SupervisorConfig } from "./config.ts";
import { readHeartbeat } from "./observe/heartbeat.ts";
import { sourcesPerGroup } from "./observe/kernel-limits.ts";
import { destinationKey } from "./reconcile/keys.ts";
import type { Limits } from "./reconcile/types.ts";

/** A worker's engine has room for as many (ENGINE_MAX_SHARDS): its own and those of dead ones. */
const SHARDS_PER_WORKER = 2 * LIMITS.interfaces;

/** What this host has open, and who opens and closes it. */
export interface Relay {
	readonly open: OpenResources;
	readonly applier: Applier;
	readonly drivers: ShardDrivers;
	readonly shards: ShardOpener;
	readonly memberships: MembershipPool;
	readonly tables: TableInstaller;
	/** By worker slot. */
	readonly counterMemories: readonly number[];
	readonly limits: Limits;
	/** Everything that was taken over has its place, what replaced it is open: lets go of the rest. */
	settle(): void;
	/**
	 * No membership of a link that is gone is open any more, with the keeper neither: one that is closed
	 * takes along what was joined meanwhile on another link of that index.
	 */
	readonly hasLetGo: boolean;
}

export interface RelayParts {
	readonly config: SupervisorConfig;
	readonly workers: Workers;
	readonly logger: ServiceLogger;
	readonly keeping: Keeping;
	/** Undefined: they are to be made. */
	readonly figures: Figures | undefined;
	/** Undefined: a fresh start. */
	readonly inheritance: Inheritance | undefined;
}

export function makeRelay(parts: RelayParts): Relay {
	const { config, workers, logger, keeping, inheritance } = parts;
	const open = new OpenResources();
	const features = probeFeatures();
	logger.facility("interfaces").debug(features, "kernel features");
	const sockets = keptSockets(parts);
	const { openMembership, openDrain, closeDescriptor } = sockets;
	const kernel = { ...dataplane, openMembership, openDrain, closeDescriptor };
	const memberships = new MembershipPool(kernel);
	const figures = parts.figures ?? makeFigures(config.workers, keeping);
	const counterMemories = figures.counters;
	const drivers = new ShardDrivers({
		dataplane,
		workers,
		open,
		counterMemories,
		heartbeat: (slot) => readHeartbeat(counterMemories[slot]),
		mostPerWorker: SHARDS_PER_WORKER,
		log: logger.facility("workers"),
	});
	const shards = new ShardOpener(kernel, workers, open, drivers, {
		workers: config.workers,
		filterCapacity: LIMITS.rules,
		minimumBytes: SHARD_MINIMUM_BYTES,
		vnetHeader: features.vnetUdp,
		keeping,
	});
	const { tables, egress, note } = makeNoted(parts, kernel, open, figures);
	if (inheritance === undefined) {
		// No worker has a table any more, nor a batch that was begun with one.
		if (figures.notes !== undefined) tables.adopt({ ...figures.notes, fingerprint: "" });
		note();
	} else adopt(inheritance, { open, shards, tables, egress, sockets });
	const applier = new Applier({
		dataplane: kernel,
		workers,
		open,
		shards,
		drivers,
		egress,
		tables,
		memberships,
		counterMemories,
		reconcileLog: logger.facility("reconcile"),
		membershipLog: logger.facility("membership"),
	});
	const inherited = new Inherited(inheritance, keeping, sockets);
	return {
		...{ open, applier, drivers, shards, memberships, tables, counterMemories },
		limits: limitsOf(config),
		settle: () => inherited.letGo(),
		get hasLetGo() {
			return inherited.isGone && keeping.isSettled;
		},
	};
}

/** Their numbers come behind those of a predecessor. */
function keptSockets({ keeping, inheritance }: RelayParts): KeptSockets {
	const taken = inheritance?.memberships.map(({ number }) => number) ?? [];
	return new KeptSockets(dataplane, keeping, 1 + Math.max(-1, ...taken));
}

interface Noted {
	readonly tables: TableInstaller;
	readonly egress: EgressOpener;
	/** Writes down what a successor must know of both. */
	readonly note: () => void;
}

function makeNoted(
	{ config, workers, keeping }: RelayParts,
	kernel: Dataplane,
	open: OpenResources,
	{ counters: counterMemories, memory }: Figures,
): Noted {
	const note = () =>
		memory.write({
			incarnation: String(config.incarnation),
			abiVersion: ABI_VERSION,
			egress: [...open.egress.values()],
			...tables.notes(),
		});
	const tables = new TableInstaller(kernel, new TableBuilder(), workers, open, {
		counterCapacity: LIMITS.counters,
		workerCounters: WORKER_COUNTERS,
		blockSizes: { rule: RULE_COUNTERS, output: OUTPUT_COUNTERS, interface: INTERFACE_COUNTERS },
		counterMemories,
		note,
		fingerprint: fingerprintOf,
		keep: (descriptor) => {
			keeping.release(TABLE);
			keeping.keep(TABLE, [descriptor]);
		},
	});
	return { tables, egress: new EgressOpener(kernel, workers, open, LIMITS.egress, note), note };
}

/** What a supervisor before this one joined, until our own memberships have its place. */
class Inherited {
	readonly #keeping: Keeping;
	readonly #sockets: KeptSockets;
	#left: Inheritance | undefined;

	constructor(inheritance: Inheritance | undefined, keeping: Keeping, sockets: KeptSockets) {
		this.#left = inheritance;
		this.#keeping = keeping;
		this.#sockets = sockets;
	}

	get isGone(): boolean {
		return this.#left === undefined;
	}

	/** Once, however often it is called. */
	letGo(): void {
		if (this.#left === undefined) return;
		// Their groups are joined on sockets of our own by now: the network hears of no leave.
		for (const { fd } of this.#left.memberships) this.#sockets.closeDescriptor(fd);
		this.#left = undefined;
		this.#keeping.release(ATTEMPT);
	}
}

interface Adopters {
	readonly open: OpenResources;
	readonly shards: ShardOpener;
	readonly tables: TableInstaller;
	readonly egress: EgressOpener;
	readonly sockets: KeptSockets;
}

/** Puts what was taken over where it would be if we had opened it. */
function adopt(inheritance: Inheritance, adopters: Adopters): void {
	const { open, shards, tables, egress, sockets } = adopters;
	const { notes } = inheritance;
	tables.adopt(notes, inheritance.table);
	egress.adopt(notes.egress);
	for (const inherited of inheritance.shards) {
		const { ifindex } = inherited;
		const { filter } = shards.adopt(inherited);
		for (const address of dataplane.admittedAddresses(filter, LIMITS.rules)) {
			const key = destinationKey(ifindex, address);
			open.destinations.set(key, { key, ifindex, address });
		}
	}
	for (const { key, ifindex, address, port, fd } of inheritance.drains) {
		sockets.adopt(key, fd);
		open.drains.set(key, { key, ifindex, address, port, socket: fd });
	}
	for (const { number, fd } of inheritance.memberships) sockets.adopt(membershipName(number), fd);
}

function limitsOf(config: SupervisorConfig): Limits {
	return {
		workers: config.workers,
		rules: LIMITS.rules,
		outputs: LIMITS.outputs,
		sources: LIMITS.sources,
		egress: LIMITS.egress,
		interfaces: LIMITS.interfaces,
		shardsPerWorker: SHARDS_PER_WORKER,
		sourcesPerGroup: sourcesPerGroup(),
		ringLimitBytes: config.ringLimitBytes,
		shardBytes: config.shardBytes,
		shardMinimumBytes: SHARD_MINIMUM_BYTES,
	};
}
