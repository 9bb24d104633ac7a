/** What the soak says. */

import { type Lives, mib, minutes } from "./memory.ts";
import type { RoundResult } from "./round.ts";

export function repeatWith(options: { minutes: number; seed: number }): string {
	return `./sluice soak --minutes ${options.minutes} --seed ${options.seed}`;
}

function count(value: number): string {
	return value.toLocaleString("en-US");
}

function endings(ended: ReadonlyMap<string, number>): string {
	return (
		Array.from(ended, ([role, times]) => `${role}${times > 1 ? `×${times}` : ""}`).join(" ") || "nothing"
	);
}

/** A line for each round, and one more for everything that was wrong. */
export function roundLines(number: number, rounds: number, result: RoundResult): string[] {
	const { faults, sent, churn } = result;
	const line = [
		`${faults.length === 0 ? "ok  " : "FAIL"}  round ${String(number).padStart(String(rounds).length)}/${rounds}:`,
		`${count(sent)} sent, ${count(result.kernelDrops)} dropped by the kernel,`,
		`${count(result.bundlesLost)} lost in bundles, ${count(result.receiverDrops)} by receivers;`,
		`${churn.actions} actions${churn.repeated.length > 0 ? ` (given twice: ${churn.repeated.join("; ")})` : ""}, ended: ${endings(churn.ended)}`,
	].join(" ");
	if (faults.length === 0) return [line];
	return [line, ...faults.map((fault) => `      ${fault}`), ...churn.done.map((done) => `        ${done}`)];
}

/** What each process came to. */
export function memoryTable(all: readonly Lives[]): string[] {
	const rows = all.map(({ role, lives, peakBytes, most }) => [
		role,
		String(lives),
		mib(peakBytes),
		most === undefined ? "–" : mib(most.bytes),
		most === undefined ? "–" : minutes(most.overMs),
		most === undefined ? "–" : mib(most.bytesPerHour),
	]);
	const table = [["process", "lives", "peak MiB", "grew MiB", "in min", "MiB/h"], ...rows];
	const widths =
		table[0]?.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0))) ?? [];
	return table.map((row) =>
		row
			.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
			.join("  "),
	);
}
