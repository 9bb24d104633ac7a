/** What the benchmark asks of whatever relays. */

import type { Priority } from "../../../services/lib/priorities.ts";
import type { Relay } from "../../netns/lab/relay.ts";
import type { Network } from "../network.ts";

/** What is to be relayed, from the interface r0 to the interface r1. */
export interface Task {
	/** Stream i comes in by group IN+i and goes out to group OUT+i. */
	readonly streams: number;
	/** The only stream goes out to OUT, OUT+1, …; 1 unless `streams` is. */
	readonly copies: number;
	/** Rules that nothing is sent to, loaded beside. */
	readonly idleRules: number;
	/** CPUs that the relay is to use; with more than one, nothing is kept to any. */
	readonly workers: number;
	/** What `sluice up --priority` is given. */
	readonly priority: Priority;
}

export const ONE_TO_ONE: Task = { streams: 1, copies: 1, idleRules: 0, workers: 1, priority: "nice" };

export const IN = { interface: "r0", group: "239.1.0.1", port: 5001 } as const;
export const OUT = { interface: "r1", group: "239.10.0.1", port: 6001 } as const;

/** The receive buffer of a peer that has sockets, over all of them: as much as a ring of Sluice's. */
export const BUFFER_BYTES = 32 * 2 ** 20;

/** One relay at work. What it started ends with its network. */
export interface Running {
	/** Ends it in an orderly way; the network is removed after it. */
	stop(): Promise<void>;
	alive(): boolean;
	/** Another task while it runs; without this it is ended and started anew. */
	turnTo?(task: Task): Promise<void>;
	/** Where the first stream comes out; undefined: at OUT. */
	readonly arrivesAt?: { readonly group: string; readonly port: number };
	/** What it said on stderr, for when it does not work. */
	said(): string;
	/** Only Sluice has one: what its commands are given to. */
	readonly relay?: Relay;
}

export interface Peer {
	readonly name: string;
	/** One line on what it is, for the report. */
	readonly about: string;
	/** Why it cannot take part on this machine. */
	absent(): string | undefined;
	/** Why it cannot do this task. */
	unable(task: Task): string | undefined;
	/** Its version; undefined: it has none. */
	version(): Promise<string | undefined>;
	/** Started, but not necessarily forwarding yet. */
	start(network: Network, task: Task): Promise<Running>;
}

/** The address that is so many after the first. */
export function addressAfter(first: string, count: number): string {
	const value = first.split(".").reduce((sum, byte) => sum * 256 + Number(byte), 0) + count;
	return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
}

/** Each input with an output, for peers that have a process for each of these. */
export function pairs(task: Task): { group: string; to: string }[] {
	const count = Math.max(task.streams, task.copies);
	return Array.from({ length: count }, (_, index) => ({
		group: addressAfter(IN.group, task.streams > 1 ? index : 0),
		to: addressAfter(OUT.group, index),
	}));
}
