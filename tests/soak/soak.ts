/** Round after round, and what they come to. */

import { Memory } from "./memory.ts";
import type { Options } from "./options.ts";
import { isCalm, planRound } from "./plan.ts";
import type { Holdings } from "./processes.ts";
import { memoryTable, roundLines } from "./report.ts";
import type { Rig } from "./rig.ts";
import { LOAD_SECONDS, playRound } from "./round.ts";

/** Load, and the accounts after it. */
const ROUND_SECONDS = 25;
/** One to warm up, one to disturb, one to look whether anything grows. */
const ROUNDS_MIN = 3;

/** Answers everything that was wrong. */
export async function soak(rig: Rig, options: Options, say: (line: string) => void): Promise<string[]> {
	const rounds = Math.max(ROUNDS_MIN, Math.round((options.minutes * 60) / ROUND_SECONDS));
	const memory = new Memory();
	const faults: string[] = [];
	let before = await rig.relay.figures();
	let reference: Holdings | undefined;
	const sums = { sent: 0, kernelDrops: 0, bundlesLost: 0, actions: 0 };
	for (let round = 0; round < rounds; round++) {
		const plan = planRound({
			...{ seed: options.seed, round, loadMs: LOAD_SECONDS * 1_000 },
			calm: isCalm(round, rounds),
		});
		const result = await playRound({ rig, memory, plan, before, reference });
		for (const line of roundLines(round + 1, rounds, result)) say(line);
		faults.push(...result.faults.map((fault) => `round ${round + 1}: ${fault}`));
		before = result.after;
		reference ??= result.holdings;
		sums.sent += result.sent;
		sums.kernelDrops += result.kernelDrops;
		sums.bundlesLost += result.bundlesLost;
		sums.actions += result.churn.actions;
	}
	for (const line of memoryTable(memory.lives())) say(line);
	say(
		`soak: ${rounds} rounds, ${sums.actions} actions, ${sums.sent} sent, ${sums.kernelDrops} dropped by the kernel and counted, ${sums.bundlesLost} lost in bundles and counted`,
	);
	return [...faults, ...memory.faults()];
}
