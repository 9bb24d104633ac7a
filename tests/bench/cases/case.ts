/** What a case is made of. */

import type { Load } from "../load.ts";
import type { Network, Wire } from "../network.ts";
import type { Running, Task } from "../peers/peer.ts";
import type { Trial } from "../trial.ts";

/** One peer, ready to be measured. */
export interface Lane {
	readonly network: Network;
	readonly running: Running;
	readonly task: Task;
	/** Each trial is kept as a sample and said. */
	trial(load: Load): Promise<Trial>;
	/** For what is no trial of datagrams. */
	keep(sample: Readonly<Record<string, number>>): void;
}

export type Figures = Readonly<Record<string, number | string>>;

/** One line of a case's table for each peer. */
export interface Variant {
	readonly label: string;
	readonly task: Task;
	readonly wire: Wire;
	measure(lane: Lane): Promise<Figures>;
}

export interface Column {
	readonly key: string;
	readonly heading: string;
	/** Of a number; default 0. */
	readonly decimals?: number;
}

export interface Case {
	readonly name: string;
	readonly title: string;
	/** What is on the wire. */
	readonly traffic: string;
	readonly columns: readonly Column[];
	/** The figure that is drawn, and what it is. */
	readonly plot: { readonly key: string; readonly axis: string };
	/** Why nobody but Sluice can do it; undefined: others can. */
	readonly sluiceOnly?: string;
	/** Left out of a quick run unless it is asked for. */
	readonly long?: boolean;
	readonly variants: readonly Variant[];
}

/** How thorough: everything that `--quick` cuts short. */
export interface Effort {
	readonly quick: boolean;
	/** Repetitions whose median counts. */
	readonly runs: number;
	readonly seconds: number;
}

/** `runs` and `seconds` as the user wants them. */
export function effortOf(
	asked: Pick<Effort, "quick"> & { readonly [Key in "runs" | "seconds"]: number | undefined },
): Effort {
	const usual = asked.quick ? QUICK : THOROUGH;
	return { ...usual, runs: asked.runs ?? usual.runs, seconds: asked.seconds ?? usual.seconds };
}

export const THOROUGH: Effort = { quick: false, runs: 3, seconds: 1 };
export const QUICK: Effort = { quick: true, runs: 1, seconds: 0.25 };
