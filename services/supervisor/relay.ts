import {
	INTERFACE_COUNTERS,
	OUTPUT_COUNTERS,
	RULE_COUNTERS,
	WORKER_COUNTERS,
} from "@sluice/dataplane/counters";
import { LIMITS } from "@sluice/dataplane/layout";
import { TableBuilder } from "@sluice/dataplane/records";
import * as dataplane from "@sluice/dataplane/supervisor";
import type { ServiceLogger } from "@sluice/lib/log";
import { Applier } from "./apply/applier.ts";
import { EgressOpener } from "./apply/egress.ts";
import { MembershipPool } from "./apply/membership-pool.ts";
import { OpenResources } from "./apply/open-resources.ts";
import { ShardDrivers } from "./apply/shard-drivers.ts";
import { ShardOpener } from "./apply/shards.ts";
import { TableInstaller } from "./apply/tables.ts";
import type { Workers } from "./apply/workers.ts";
import { SHARD_MINIMUM_BYTES, type SupervisorConfig } from "./config.ts";
import { sourcesPerGroup } from "./observe/kernel-limits.ts";
import type { Limits } from "./reconcile/types.ts";

/** A worker's engine has room for as many (ENGINE_MAX_SHARDS): its own and those of dead ones. */
const SHARDS_PER_WORKER = 2 * LIMITS.interfaces;

/** What this host has open, and who opens and closes it. */
export interface Relay {
	readonly open: OpenResources;
	readonly applier: Applier;
	readonly drivers: ShardDrivers;
	readonly memberships: MembershipPool;
	readonly tables: TableInstaller;
	/** By worker slot. */
	readonly counterMemories: readonly number[];
	readonly limits: Limits;
}

export function makeRelay(config: SupervisorConfig, workers: Workers, logger: ServiceLogger): Relay {
	const open = new OpenResources();
	const features = dataplane.probeFeatures();
	logger.facility("interfaces").debug(features, "kernel features");
	const memberships = new MembershipPool(dataplane);
	const counterMemories = Array.from({ length: config.workers }, () =>
		dataplane.createCounters(LIMITS.counters),
	);
	const drivers = new ShardDrivers(
		dataplane,
		counterMemories,
		workers,
		open,
		SHARDS_PER_WORKER,
		logger.facility("workers"),
	);
	const shards = new ShardOpener(dataplane, workers, open, drivers, {
		workers: config.workers,
		filterCapacity: LIMITS.rules,
		minimumBytes: SHARD_MINIMUM_BYTES,
		vnetHeader: features.vnetUdp,
	});
	const tables = new TableInstaller(dataplane, new TableBuilder(), workers, open, {
		counterCapacity: LIMITS.counters,
		workerCounters: WORKER_COUNTERS,
		blockSizes: { rule: RULE_COUNTERS, output: OUTPUT_COUNTERS, interface: INTERFACE_COUNTERS },
		counterMemories,
	});
	const applier = new Applier({
		dataplane,
		workers,
		open,
		shards,
		drivers,
		egress: new EgressOpener(dataplane, workers, open, LIMITS.egress),
		tables,
		memberships,
		counterMemories,
		reconcileLog: logger.facility("reconcile"),
		membershipLog: logger.facility("membership"),
	});
	return { open, applier, drivers, memberships, tables, counterMemories, limits: limitsOf(config) };
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
