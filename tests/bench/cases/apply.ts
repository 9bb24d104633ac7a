/** How long a large rules file takes until every rule of it is active. */

import { rulesOf } from "../peers/sluice.ts";
import { median } from "../percentiles.ts";
import type { Effort, Figures, Lane } from "./case.ts";

/** The command as people type it, start of the program and all; the rules of before are back when it ends. */
export async function applyRules(lane: Lane, effort: Effort, rules: number): Promise<Figures> {
	const { relay } = lane.running;
	if (relay === undefined) throw new Error("only Sluice has rules to apply");
	const before = rulesOf(lane.task);
	const seconds: number[] = [];
	for (let run = 0; run < effort.runs; run++) {
		const beganAt = Bun.nanoseconds();
		await relay.applyRules(rulesOf({ ...lane.task, idleRules: rules - lane.task.streams }));
		const took = (Bun.nanoseconds() - beganAt) / 1e9;
		lane.keep({ rules, seconds: took });
		seconds.push(took);
		await relay.applyRules(before, "--prune");
	}
	return { seconds: median(seconds) };
}
