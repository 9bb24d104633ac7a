import { createMemory } from "@sluice/dataplane/descriptor-store";
import { ABI_VERSION, LIMITS } from "@sluice/dataplane/layout";
import { createCounters } from "@sluice/dataplane/supervisor";
import type { SupervisorConfig } from "../config.ts";
import type { Keeping } from "./keeping.ts";
import { countersName, type Kept, NOTES } from "./names.ts";
import { type Notes, NotesMemory } from "./notes.ts";

/**
 * What was counted, and where whose counters lie. It is as old as the incarnation: `up` has
 * these descriptors too, and gives them to each keeper, so that no figure steps back
 * whichever of its processes end (ADR 0083).
 */
export interface Figures {
	/** By worker slot. */
	readonly counters: readonly number[];
	readonly memory: NotesMemory;
	/** All of these. */
	readonly fds: readonly number[];
	/** Undefined: nothing was counted yet. */
	readonly notes: Notes | undefined;
}

/** Undefined when they are not all there, or cannot be read by this one. */
export function takeFigures(
	named: readonly { readonly kept: Kept; readonly fd: number }[],
	{ incarnation, workers }: Pick<SupervisorConfig, "incarnation" | "workers">,
): Figures | undefined {
	const counters = named
		.flatMap(({ kept, fd }) => (kept.kind === "counters" ? [{ slot: kept.slot, fd }] : []))
		.toSorted((a, b) => a.slot - b.slot)
		.map(({ fd }) => fd);
	const noteFds = named.filter(({ kept }) => kept.kind === "notes").map(({ fd }) => fd);
	if (counters.length !== workers || noteFds.length !== 2) return undefined;
	const memory = new NotesMemory(noteFds);
	const notes = memory.read();
	const fits =
		notes === undefined
			? memory.isBlank
			: notes.incarnation === String(incarnation) && notes.abiVersion === ABI_VERSION;
	return fits ? { counters, memory, fds: [...counters, ...noteFds], notes } : undefined;
}

/** For a supervisor that nobody gave any. */
export function makeFigures(workers: number, keeping: Keeping): Figures {
	const counters = Array.from({ length: workers }, (_, slot) => {
		const memory = createCounters(LIMITS.counters);
		keeping.keep(countersName(slot), [memory]);
		return memory;
	});
	const noteFds = [createMemory(), createMemory()];
	keeping.keep(NOTES, noteFds);
	const memory = new NotesMemory(noteFds);
	return { counters, memory, fds: [...counters, ...noteFds], notes: undefined };
}
