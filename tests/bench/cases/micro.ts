/** Parsing and lookup by themselves: dataplane-c/bench, without packets. */

import { resolve } from "node:path";
import { checkout } from "../../../scripts/owner.ts";
import { median } from "../percentiles.ts";
import type { Column, Effort, Figures, Lane } from "./case.ts";

const PROGRAMS = resolve(checkout, "build/bench");

export const MICRO_COLUMNS: readonly Column[] = [{ key: "nanoseconds", heading: "ns", decimals: 1 }];

/** Names of what the programs measure, with the median of their rounds. */
export function readFigures(text: string): Map<string, number> {
	const found = new Map<string, number>();
	for (const [, name = "", nanoseconds] of text.matchAll(/^(.+?) +(\d+\.\d) ns\/op/gm))
		found.set(name, Number(nanoseconds));
	return found;
}

/** `what` as the program says it. */
export async function micro(lane: Lane, effort: Effort, program: string, what: string): Promise<Figures> {
	const found: number[] = [];
	for (let run = 0; run < effort.runs; run++) {
		const nanoseconds = readFigures(await lane.network.relay.must([`${PROGRAMS}/${program}`])).get(what);
		if (nanoseconds === undefined) throw new Error(`${program} does not measure ${what}`);
		lane.keep({ nanoseconds });
		found.push(nanoseconds);
	}
	return { nanoseconds: median(found) };
}
