import type { CaptureFilter, Ring } from "@sluice/dataplane/supervisor";
import type { Destination, Drain, Egress, Membership, Open, Table } from "../reconcile/types.ts";
import { Failures } from "./failures.ts";
import type { ShardDriver } from "./shard-drivers.ts";

/** Capture sockets of one interface with all that belongs to them. */
export interface OpenShards {
	readonly ifindex: number;
	/** Of each ring. */
	readonly ringBytes: number;
	/** Its map says which addresses pass; the program is closed, the sockets hold it. */
	readonly filter: CaptureFilter;
	/** By worker slot. */
	readonly shards: readonly OpenShard[];
	readonly ring: Ring;
	deaf: boolean;
}

export interface OpenShard {
	/** Unique on this host while it lives. */
	readonly id: number;
	readonly socket: number;
	readonly state: number;
	/** Undefined: nobody; its ring holds what comes. Kept by ShardDrivers, as is what follows. */
	driver: ShardDriver | undefined;
	/** Settles after the last step that was begun with it. */
	turn: Promise<void>;
	/** Such a step is under way. */
	moving: boolean;
	/** It is given to nobody any more. */
	closed: boolean;
}

export interface OpenEgress extends Egress {
	/** The same number in every worker. */
	readonly slot: number;
}

export interface OpenDrain extends Drain {
	/** Undefined: another program's socket does the same. */
	readonly socket: number | undefined;
}

/** Everything this host has open, by the keys that reconcile() uses. */
export class OpenResources implements Open {
	readonly shards = new Map<number, OpenShards>();
	readonly egress = new Map<string, OpenEgress>();
	readonly drains = new Map<string, OpenDrain>();
	readonly destinations = new Map<string, Destination>();
	readonly memberships = new Map<string, Membership>();
	readonly restored = new Set<string>();
	readonly failureLog = new Failures();
	table: Table | undefined;
	/** Of the table above, for the workers that are still to come. */
	tableDescriptor: number | undefined;
	tableInForce = false;

	get failures() {
		return this.failureLog.entries;
	}

	/** Kernel memory in receive rings. */
	get ringBytes(): number {
		let total = 0;
		for (const { ringBytes, shards } of this.shards.values()) total += ringBytes * shards.length;
		return total;
	}
}
