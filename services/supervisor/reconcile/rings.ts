import { shardsKey } from "./keys.ts";
import type { Link, Observed } from "./types.ts";

export interface RingPlan {
	/** What each ring of the interface has, or is to have. */
	readonly ringBytes: ReadonlyMap<number, number>;
	/** Interfaces that get no ring, and why. */
	readonly refused: ReadonlyMap<number, string>;
}

/**
 * Shares out ring memory: what is open stays as it is, a new interface gets rings
 * of the wanted size, halved until they take no more than half of what is left under
 * the limit of the host; the smallest ones may take all of it.
 */
export function planRings(captures: ReadonlyMap<number, Link>, observed: Observed): RingPlan {
	const { limits, open, nowMs } = observed;
	const ringBytes = new Map<number, number>();
	const refused = new Map<number, string>();
	let used = 0;
	for (const shards of open.shards.values()) {
		if (!captures.has(shards.ifindex)) continue;
		ringBytes.set(shards.ifindex, shards.ringBytes);
		used += shards.ringBytes * limits.workers;
	}
	for (const ifindex of [...captures.keys()].sort((a, b) => a - b)) {
		if (ringBytes.has(ifindex)) continue;
		const failure = open.failures.get(shardsKey(ifindex));
		if (failure !== undefined && failure.retryAtMs > nowMs) {
			refused.set(ifindex, failure.reason);
			continue;
		}
		if (ringBytes.size >= limits.interfaces) {
			refused.set(ifindex, `more than ${limits.interfaces} input interfaces: use fewer`);
			continue;
		}
		const size = fittingSize(limits.ringLimitBytes - used, observed);
		if (size === undefined) {
			const limit = Math.floor(limits.ringLimitBytes / 2 ** 20);
			refused.set(
				ifindex,
				`ring memory limit ${limit} MiB reached: raise --ring-memory or remove rules from other interfaces`,
			);
			continue;
		}
		ringBytes.set(ifindex, size);
		used += size * limits.workers;
	}
	return { ringBytes, refused };
}

function fittingSize(available: number, observed: Observed): number | undefined {
	const { workers, shardBytes, shardMinimumBytes } = observed.limits;
	for (let size = shardBytes; size >= shardMinimumBytes; size /= 2) {
		if (size * workers <= available / 2) return size;
	}
	return shardMinimumBytes * workers <= available ? shardMinimumBytes : undefined;
}
