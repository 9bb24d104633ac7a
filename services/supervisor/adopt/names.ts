import type { Ring } from "@sluice/dataplane/supervisor";
import { drainKey } from "../reconcile/keys.ts";

/**
 * What stored descriptors are called: all that a successor has to know of them stands in
 * the name, so that storing is one step. Pure.
 */

export const NOTES = "notes";
/** The last one that workers have, or are about to. */
export const TABLE = "table";
/** One for each successor that has not settled yet. */
export const ATTEMPT = "attempt";
/** Given by the keeper, and handed on to workers. */
const LOCK = "lock";

export interface ShardsName {
	readonly ifindex: number;
	/** The others' follow. */
	readonly firstId: number;
	readonly ring: Ring;
}

export type Kept =
	| { readonly kind: "lock" }
	| { readonly kind: "notes" }
	| { readonly kind: "table" }
	| { readonly kind: "attempt" }
	| { readonly kind: "channel"; readonly channel: string }
	| { readonly kind: "counters"; readonly slot: number }
	| { readonly kind: "worker"; readonly slot: number }
	| { readonly kind: "membership"; readonly number: number }
	| ({ readonly kind: "shards" } & ShardsName)
	| {
			readonly kind: "drain";
			readonly key: string;
			readonly ifindex: number;
			readonly address: number;
			readonly port: number;
	  };

/** The socket that workers connect to. */
export function channelName(channel: string): string {
	return `channel/${channel}`;
}

export function countersName(slot: number): string {
	return `counters/${slot}`;
}

/** Its process. */
export function workerName(slot: number): string {
	return `worker/${slot}`;
}

export function membershipName(number: number): string {
	return `membership/${number}`;
}

/** Filter map, then socket and state of each shard. */
export function shardsName({ ifindex, firstId, ring }: ShardsName): string {
	const { blockBytes, blockCount, frameBytes, frameCount, vnetHeader } = ring;
	return `shards/${ifindex}/${firstId}/${blockBytes}/${blockCount}/${frameBytes}/${frameCount}/${vnetHeader ? 1 : 0}`;
}

/** What a name says; undefined: it is of no version that this one knows. */
export function parseName(name: string): Kept | undefined {
	const [kind, ...rest] = name.split("/");
	const numbers = rest.map((text) => (/^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN));
	const [first = Number.NaN, second = Number.NaN, third = Number.NaN] = numbers;
	if (kind === "channel" && rest.length === 1) return { kind, channel: rest[0] ?? "" };
	if (numbers.some(Number.isNaN)) return undefined;
	if ((kind === LOCK || kind === NOTES || kind === TABLE || kind === ATTEMPT) && rest.length === 0)
		return { kind };
	if ((kind === "counters" || kind === "worker") && rest.length === 1) return { kind, slot: first };
	if (kind === "membership" && rest.length === 1) return { kind, number: first };
	if (kind === "drain" && rest.length === 3) {
		return { kind, key: drainKey(first, second, third), ifindex: first, address: second, port: third };
	}
	if (kind === "shards" && rest.length === 7) {
		const [blockBytes = 0, blockCount = 0, frameBytes = 0, frameCount = 0, vnet = 0] = numbers.slice(2);
		const ring = { blockBytes, blockCount, frameBytes, frameCount, vnetHeader: vnet === 1 };
		return { kind, ifindex: first, firstId: second, ring };
	}
	return undefined;
}
