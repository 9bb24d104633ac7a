import type { Link, Shards } from "./types.ts";

/** A shard that another worker is to drive. */
export interface HandOver {
	readonly ifindex: number;
	/** Of the interface's shards; also the slot of the worker that it is for. */
	readonly shard: number;
	/** Slot. */
	readonly to: number;
}

/**
 * Who takes over which shard. A worker that runs drives its own. One whose worker is
 * away goes to the running worker that drives the fewest, and stays there until its
 * own runs again. A worker that drains gives its own away likewise, while there is
 * somebody to take them. With no worker running its ring holds what comes.
 */
export function planDrivers(
	interfaces: Iterable<Shards>,
	running: readonly number[],
	mostPerWorker: number,
	draining: readonly number[] = [],
): HandOver[] {
	const all = [...interfaces];
	const loads = new Map(running.map((slot) => [slot, 0]));
	for (const { shards } of all) {
		for (const { driver } of shards) {
			const load = driver === undefined ? undefined : loads.get(driver.slot);
			if (driver !== undefined && load !== undefined) loads.set(driver.slot, load + 1);
		}
	}
	const plan: HandOver[] = [];
	for (const { ifindex, shards } of all) {
		for (const [shard, { driver }] of shards.entries()) {
			const own = loads.has(shard);
			const stays = driver !== undefined && !draining.includes(driver.slot);
			if (own ? driver?.slot === shard : stays) continue;
			const to = own ? shard : leastLoaded(loads, mostPerWorker);
			if (to === undefined) continue;
			loads.set(to, (loads.get(to) ?? 0) + 1);
			plan.push({ ifindex, shard, to });
		}
	}
	return plan;
}

/**
 * Who goes on where if one worker ends now: for each shard that somebody drives, the slot
 * that planDrivers() gives it to without that driver. By ifindex and shard.
 */
export function planSuccessors(
	interfaces: Iterable<Shards>,
	running: readonly number[],
	mostPerWorker: number,
	draining: readonly number[] = [],
): Map<number, Map<number, number>> {
	const byIfindex = new Map([...interfaces].map((shards) => [shards.ifindex, shards]));
	const driving = [...byIfindex.values()].flatMap(({ shards }) => shards.map(({ driver }) => driver?.slot));
	const successors = new Map<number, Map<number, number>>();
	for (const ending of new Set(driving)) {
		if (ending === undefined) continue;
		const staying = running.filter((slot) => slot !== ending);
		const plan = planDrivers(byIfindex.values(), staying, mostPerWorker, [...draining, ending]);
		for (const { ifindex, shard, to } of plan) {
			if (byIfindex.get(ifindex)?.shards[shard]?.driver?.slot !== ending) continue;
			const ofInterface = successors.get(ifindex) ?? new Map<number, number>();
			successors.set(ifindex, ofInterface.set(shard, to));
		}
	}
	return successors;
}

function leastLoaded(loads: ReadonlyMap<number, number>, most: number): number | undefined {
	let best: number | undefined;
	let least = most;
	for (const [slot, load] of loads) {
		if (load >= least) continue;
		best = slot;
		least = load;
	}
	return best;
}

/** Those of interfaces that are still there. */
export function shardsOf(links: readonly Link[], open: ReadonlyMap<number, Shards>): Shards[] {
	return links.flatMap(({ ifindex }) => open.get(ifindex) ?? []);
}
