/** Memory of every process over all its lives. */

import { type Growth, growth, type Sample } from "./growth.ts";
import { processesOf, residentBytes } from "./processes.ts";
import type { Rig } from "./rig.ts";

const MIB = 2 ** 20;
/** Shorter lives are not judged. */
const LEAST_JUDGED_MS = 60_000;
/** By the slope, over the time that is judged: what a runtime's garbage may come to without being a leak. */
const GROWTH_LIMIT_BYTES = 32 * MIB;

export interface Lives {
	readonly role: string;
	readonly lives: number;
	readonly peakBytes: number;
	/** The life that grew most, of those that were long enough. */
	readonly most: Growth | undefined;
}

export class Memory {
	readonly #samples = new Map<string, Map<number, Sample[]>>();

	async sample(rig: Rig): Promise<void> {
		const atMs = performance.now();
		for (const [role, pid] of await processesOf(rig.lab.relay, rig.relay.pid)) {
			const bytes = residentBytes(pid);
			if (bytes === undefined) continue;
			const lives = this.#samples.get(role) ?? new Map<number, Sample[]>();
			this.#samples.set(role, lives);
			lives.set(pid, [...(lives.get(pid) ?? []), { atMs, bytes }]);
		}
	}

	lives(): Lives[] {
		return Array.from(this.#samples, ([role, lives]) => {
			const all = [...lives.values()];
			const judged = all
				.map((samples) => growth(samples, LEAST_JUDGED_MS))
				.filter((found) => found !== undefined);
			return {
				role,
				lives: lives.size,
				peakBytes: Math.max(...all.flat().map(({ bytes }) => bytes)),
				most: judged.toSorted((a, b) => b.bytes - a.bytes)[0],
			};
		}).toSorted((a, b) => a.role.localeCompare(b.role));
	}

	faults(): string[] {
		return this.lives().flatMap(({ role, most }) => {
			if (most === undefined || most.bytes <= GROWTH_LIMIT_BYTES) return [];
			return [`${role} grew by ${mib(most.bytes)} MiB in ${minutes(most.overMs)} min`];
		});
	}
}

export function mib(bytes: number): string {
	return (bytes / MIB).toFixed(1);
}

export function minutes(ms: number): string {
	return (ms / 60_000).toFixed(1);
}
