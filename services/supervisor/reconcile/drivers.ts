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
