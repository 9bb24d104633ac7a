import { createMemory } from "@sluice/dataplane/descriptor-store";
import { LIMITS } from "@sluice/dataplane/layout";
import { closeDescriptor, createCounters } from "@sluice/dataplane/supervisor";

/** A descriptor that each keeper of this `up` has in its store from the start. */
export interface Given {
	readonly name: string;
	readonly fd: number;
}

/**
 * The memory that workers count in, and two for the notes of whose counters lie where. It
 * lives as long as the incarnation does, which is this process: whatever else ends, figures
 * go on where they were (ADR 0083). Names are those of the supervisor (adopt/names.ts).
 */
export function makeFigures(workers: number, owned: DisposableStack): readonly Given[] {
	const made: Given[] = [];
	owned.defer(() => {
		for (const { fd } of made) closeDescriptor(fd);
	});
	for (let slot = 0; slot < workers; slot += 1) {
		made.push({ name: `counters/${slot}`, fd: createCounters(LIMITS.counters) });
	}
	for (let copy = 0; copy < 2; copy += 1) made.push({ name: "notes", fd: createMemory() });
	return made;
}
