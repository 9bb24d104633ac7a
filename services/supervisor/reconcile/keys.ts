/** Keys of what can be open, unique over all kinds: they also name failures. Pure. */

export const TABLE_KEY = "table";

/** A rule that a table was refused for. */
export function ruleKey(uid: string): string {
	return `rule/${uid}`;
}

export function shardsKey(ifindex: number): string {
	return `shards/${ifindex}`;
}

/** Who drives a shard. */
export function driverKey(ifindex: number, shard: number): string {
	return `driver/${ifindex}/${shard}`;
}

export function egressKey(ifindex: number, sourcePort: number, bindAddress: number): string {
	return `egress/${ifindex}/${sourcePort}/${bindAddress}`;
}

export function drainKey(ifindex: number, address: number, port: number): string {
	return `drain/${ifindex}/${address}/${port}`;
}

export function destinationKey(ifindex: number, address: number): string {
	return `destination/${ifindex}/${address}`;
}

/** All memberships of one group on one interface; a failure of one is a failure of all. */
export function groupKey(ifindex: number, group: number): string {
	return `group/${ifindex}/${group}`;
}

export function membershipKey(ifindex: number, group: number, source: number): string {
	return `membership/${ifindex}/${group}/${source}`;
}
