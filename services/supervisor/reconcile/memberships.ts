import { membershipKey } from "./keys.ts";
import type { Link, Membership, Prefix } from "./types.ts";

/** What the rules of one (interface, group) ask for together. */
export interface GroupDemand {
	readonly link: Link;
	readonly group: number;
	/** Single addresses that every rule so far has been content with. */
	readonly sources: Set<number>;
	/** Some rule takes any source, or a range, which IGMP cannot say. */
	any: boolean;
}

export function demand(entry: GroupDemand, sources: readonly Prefix[]): void {
	if (sources.length === 0) entry.any = true;
	for (const prefix of sources) {
		if (prefix.length === 32) entry.sources.add(prefix.address);
		else entry.any = true;
	}
}

/**
 * (S,G) joins where the network can then filter for us, (*,G) otherwise. Memberships
 * belong to the interface and the group: never one per rule, or the second rule
 * would end the first one's.
 */
export function membershipsOf(entry: GroupDemand, sourcesPerGroup: number): Membership[] {
	const { link, group } = entry;
	const sources =
		entry.any || entry.sources.size > sourcesPerGroup ? [0] : [...entry.sources].sort((a, b) => a - b);
	return sources.map((source) => ({
		key: membershipKey(link.ifindex, group, source),
		ifindex: link.ifindex,
		group,
		source,
		carrierEpoch: link.carrierEpoch,
	}));
}
