/**
 * What reconcile() reads and writes. Plain values: no descriptor, no connection,
 * no clock. Addresses are IPv4 as unsigned numbers in host order.
 */

import type { HandOver } from "./drivers.ts";

export interface Prefix {
	readonly address: number;
	readonly length: number;
}

export interface DesiredInput {
	readonly interface: string;
	readonly group: number;
	readonly multicast: boolean;
	readonly port: number;
	/** 0: untagged frames. */
	readonly vlan: number;
	/** Empty: any source. No duplicates, no host bits. */
	readonly sources: readonly Prefix[];
}

export interface DesiredOutput {
	readonly interface: string;
	readonly address: number;
	readonly multicast: boolean;
	readonly port: number;
	readonly ttl: number;
	readonly dscp: number;
	readonly sourcePort: number;
	/** proto/output-key.ts */
	readonly key: bigint;
}

/** A rule that concerns this host. */
export interface DesiredRule {
	readonly name: string;
	readonly uid: string;
	/** Of the bucket's stream: when it was last written. */
	readonly revision: bigint;
	readonly input: DesiredInput;
	readonly outputs: readonly DesiredOutput[];
	/** Why it may not start here yet, as placement sees it. */
	readonly held?: string;
	/** Why it can never start as it is written; control-api lets no such rule through. */
	readonly malformed?: string;
}

export interface Desired {
	/** Everything up to this revision of the bucket is in `rules`. */
	readonly sequence: bigint;
	/** In order of their names. */
	readonly rules: readonly DesiredRule[];
	/** Rules that are for other hosts now: what they counted here goes on to count. */
	readonly elsewhere: readonly DesiredRule[];
}

export interface Link {
	readonly name: string;
	readonly ifindex: number;
	readonly mtu: number;
	/** Administratively up and with carrier. */
	readonly up: boolean;
	readonly loopback: boolean;
	readonly mac: string;
	/** As ethtool names it; empty: none. */
	readonly driver: string;
	readonly addresses: readonly number[];
	/** Of its subnets; absent: none is known. */
	readonly broadcasts?: readonly number[];
	/** Grows each time the link comes up: whoever joined before has to join again. */
	readonly carrierEpoch: number;
}

/** The capture sockets of one interface, one per worker. */
export interface Shards {
	readonly ifindex: number;
	/** Of each ring. */
	readonly ringBytes: number;
	/** By the slot of the worker that each is for. */
	readonly shards: readonly Shard[];
	/** The ring of one takes nothing any more. */
	readonly deaf: boolean;
}

export interface Shard {
	/** The worker that drives it: its own, another while that is away, or none. */
	readonly driver: { readonly slot: number } | undefined;
}

/** One socket per worker, all under the same slot number. */
export interface Egress {
	readonly key: string;
	readonly ifindex: number;
	readonly sourcePort: number;
	/** 0 for multicast outputs, the source address for unicast ones. */
	readonly bindAddress: number;
}

/** Keeps the kernel from answering "port unreachable" to a unicast input. */
export interface Drain {
	readonly key: string;
	readonly ifindex: number;
	readonly address: number;
	readonly port: number;
}

/** An entry of an interface's capture filter. */
export interface Destination {
	readonly key: string;
	readonly ifindex: number;
	readonly address: number;
}

export interface Membership {
	readonly key: string;
	readonly ifindex: number;
	readonly group: number;
	/** 0: any source. */
	readonly source: number;
	/** The link's at the time of joining. */
	readonly carrierEpoch: number;
}

export interface TableOutput {
	readonly key: bigint;
	/** 0 when it is unusable. */
	readonly ifindex: number;
	/** Absent: unusable. */
	readonly egress?: string;
	readonly destination: number;
	readonly source: number;
	readonly port: number;
	readonly ttl: number;
	readonly dscp: number;
	readonly mtu: number;
}

export interface TableRule {
	readonly uid: string;
	readonly ifindex: number;
	readonly group: number;
	readonly port: number;
	readonly vlan: number;
	readonly sources: readonly Prefix[];
	readonly outputs: readonly TableOutput[];
	/** Matches nothing; stands here so that the rule's counters stay visible while it cannot run. */
	readonly dormant: boolean;
}

export interface TableInterface {
	readonly name: string;
	readonly ifindex: number;
}

export interface Table {
	readonly rules: readonly TableRule[];
	readonly interfaces: readonly TableInterface[];
}

/** A command that was refused, by the key of what it should have made. */
export interface Failure {
	readonly reason: string;
	/** Not tried again before this time, as performance.now() tells it. */
	readonly retryAtMs: number;
}

export interface Open {
	readonly shards: ReadonlyMap<number, Shards>;
	readonly egress: ReadonlyMap<string, Egress>;
	readonly drains: ReadonlyMap<string, Drain>;
	readonly destinations: ReadonlyMap<string, Destination>;
	readonly memberships: ReadonlyMap<string, Membership>;
	readonly table: Table | undefined;
	/** At least one worker has this very table in force. */
	readonly tableInForce: boolean;
	readonly failures: ReadonlyMap<string, Failure>;
	/** Rules (uids) whose counters were brought over from before, until a first table names them. */
	readonly restored: ReadonlySet<string>;
}

/** What reconcile() has to know of one worker slot. */
export interface WorkerView {
	readonly slot: number;
	/**
	 * connected: said hello, holds nothing yet; running: holds everything that is open;
	 * draining: does too, but is about to be replaced, and is to drive no shard.
	 */
	readonly phase: "absent" | "connected" | "running" | "draining";
}

export interface Limits {
	readonly workers: number;
	readonly rules: number;
	readonly outputs: number;
	readonly sources: number;
	readonly egress: number;
	readonly interfaces: number;
	/** Shards that one worker can drive. */
	readonly shardsPerWorker: number;
	/** igmp_max_msf: single sources of one group on one socket. */
	readonly sourcesPerGroup: number;
	/** All rings together. */
	readonly ringLimitBytes: number;
	/** What a ring should have, and the least it is opened with. */
	readonly shardBytes: number;
	readonly shardMinimumBytes: number;
}

export interface Observed {
	readonly links: readonly Link[];
	readonly workers: readonly WorkerView[];
	/** No worker has been running for longer than a restart takes. */
	readonly workersDown: boolean;
	readonly open: Open;
	readonly limits: Limits;
	/** By performance.now(): clocks are set. */
	readonly nowMs: number;
}

export type Command =
	| { readonly kind: "welcome-worker"; readonly slot: number }
	| ({ readonly kind: "hand-over" } & HandOver)
	| { readonly kind: "forget-failure"; readonly key: string }
	| { readonly kind: "open-shards"; readonly link: Link; readonly ringBytes: number }
	| { readonly kind: "close-shards"; readonly ifindex: number }
	| { readonly kind: "open-egress"; readonly egress: Egress }
	| { readonly kind: "close-egress"; readonly egress: Egress }
	| { readonly kind: "open-drain"; readonly drain: Drain }
	| { readonly kind: "close-drain"; readonly drain: Drain }
	| { readonly kind: "install-table"; readonly table: Table }
	| { readonly kind: "add-destination"; readonly destination: Destination }
	| { readonly kind: "remove-destination"; readonly destination: Destination }
	| { readonly kind: "join"; readonly membership: Membership }
	| { readonly kind: "rejoin"; readonly membership: Membership }
	| { readonly kind: "leave"; readonly membership: Membership };

export interface RuleState {
	readonly name: string;
	readonly state: "ACTIVE" | "PENDING" | "FAILED";
	/** Empty when ACTIVE. */
	readonly reason: string;
}

export interface Plan {
	/** In the order that loses nothing. Empty: everything desired is in place, or has failed and waits. */
	readonly commands: readonly Command[];
	/** What is true once the commands are executed. */
	readonly rules: readonly RuleState[];
	/** What is desired is neither in place nor refused: it waits for a worker that is being started. */
	readonly waits: boolean;
	/** When to reconcile again though nothing changes. */
	readonly retryAtMs: number | undefined;
}
