import { reconcile } from "../../reconcile/reconcile.ts";
import { LIMITS, link, rule } from "../../reconcile/testing/world.ts";
import type { DesiredRule, Link, RuleState, WorkerView } from "../../reconcile/types.ts";
import { Applier } from "../applier.ts";
import { EgressOpener } from "../egress.ts";
import { MembershipPool } from "../membership-pool.ts";
import { OpenResources } from "../open-resources.ts";
import { ShardDrivers } from "../shard-drivers.ts";
import { ShardOpener } from "../shards.ts";
import { TableInstaller } from "../tables.ts";
import { FakeHost, silentLog } from "./fake-host.ts";

export const uid = (digit: number) => `0f8fad5b-d9cb-469f-a165-70867728950${digit}`;
export const ruleA = rule("a", { uid: uid(1) });
export const ruleC = rule("c", { uid: uid(3), group: "239.1.1.3", out: ["r1:239.10.1.3:6001"] });
export const ruleB = rule("b", { uid: uid(2), group: "239.1.1.2", out: ["r2:239.10.1.2:6002"] });

/** What applies, over a host in memory. */
export function makeApplier(workers = 2) {
	const host = new FakeHost(workers);
	const open = new OpenResources();
	const counterMemories = Array.from({ length: workers }, () => host.make("createCounters", "counters"));
	const makeDrivers = () => driversOf(host, open, counterMemories);
	const drivers = makeDrivers();
	host.onEnded = (channel) => drivers.ended(channel);
	const shards = openerOf(host, open, drivers, workers);
	const applier = applierOf(host, open, drivers, shards, counterMemories);
	let links: Link[] = [link("r0", 2), link("r1", 3), link("r2", 4)];
	let nowMs = performance.now();
	const views = (): WorkerView[] =>
		Array.from({ length: workers }, (_, slot) => {
			if (host.connected(slot)?.channel.gone !== false) return { slot, phase: "absent" };
			if (host.draining().includes(slot)) return { slot, phase: "draining" };
			return { slot, phase: host.runningSlots.has(slot) ? "running" : "connected" };
		});
	const settle = async (...rules: DesiredRule[]): Promise<readonly RuleState[]> => {
		for (let pass = 0; pass < 20; pass += 1) {
			const observed = { links, workers: views(), workersDown: false, open, limits: LIMITS, nowMs };
			const plan = reconcile({ sequence: 1n, rules, elsewhere: [] }, observed);
			if (plan.commands.length === 0) return plan.rules;
			await applier.execute(plan.commands);
		}
		throw new Error("does not settle");
	};
	return {
		host,
		open,
		drivers,
		shards,
		counterMemories,
		/** As another supervisor begins: it does not know who drives what. */
		forgetDrivers: () => {
			for (const { shards } of open.shards.values()) for (const shard of shards) shard.driver = undefined;
			return makeDrivers();
		},
		settle,
		setLinks: (...changed: Link[]) => {
			links = changed;
		},
		later: (ms: number) => {
			nowMs += ms;
		},
	};
}

function driversOf(host: FakeHost, open: OpenResources, counterMemories: number[]): ShardDrivers {
	return new ShardDrivers({
		dataplane: host.dataplane,
		workers: host,
		open,
		counterMemories,
		heartbeat: () => 0n,
		mostPerWorker: LIMITS.shardsPerWorker,
		log: silentLog,
	});
}

function openerOf(host: FakeHost, open: OpenResources, drivers: ShardDrivers, workers: number): ShardOpener {
	return new ShardOpener(host.dataplane, host, open, drivers, {
		workers,
		filterCapacity: 100,
		minimumBytes: LIMITS.shardMinimumBytes,
		vnetHeader: true,
	});
}

function applierOf(
	host: FakeHost,
	open: OpenResources,
	drivers: ShardDrivers,
	shards: ShardOpener,
	counterMemories: number[],
): Applier {
	const { dataplane } = host;
	return new Applier({
		dataplane,
		workers: host,
		open,
		drivers,
		shards,
		egress: new EgressOpener(dataplane, host, open, 100),
		tables: new TableInstaller(dataplane, host.builder, host, open, {
			counterCapacity: 4096,
			workerCounters: 64,
			blockSizes: { rule: 16, output: 8, interface: 16 },
			counterMemories,
		}),
		memberships: new MembershipPool(dataplane),
		counterMemories,
		reconcileLog: silentLog,
		membershipLog: silentLog,
	});
}

export function fail(): never {
	throw new Error("nothing to compare with");
}
