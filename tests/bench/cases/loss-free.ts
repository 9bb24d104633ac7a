/** The highest rate at which every datagram comes out, by bisection. */

import { type Highest, highestPassing, type Probe } from "../bisection.ts";
import type { Load } from "../load.ts";
import { median } from "../percentiles.ts";
import type { Trial } from "../trial.ts";
import type { Column, Effort, Figures, Lane } from "./case.ts";

const LEAST_PPS = 500;
const MOST_PPS = 4_000_000;
/** Below this share of the rate asked for, the generator is what bounds. */
const GENERATOR_SHARE = 0.97;
/** Another program's moment on these CPUs loses datagrams too, or holds the generator up: so often it is tried. */
const ATTEMPTS = { fails: 2, "generator-bound": 3 } as const;
/** Each is some ten trials. */
const SEARCHES_MAX = 3;

export const LOSS_FREE_COLUMNS: readonly Column[] = [
	{ key: "packetsInPps", heading: "IN/s" },
	{ key: "packetsOutPps", heading: "OUT/s" },
	{ key: "boundBy", heading: "BOUND BY" },
	{ key: "relayCores", heading: "RELAY CORES", decimals: 2 },
	{ key: "sinkDroppedPercent", heading: "SINK DROPPED %", decimals: 2 },
];

/** A relay that still has so much queued when the generator ends has not kept up: its buffers hid it. */
const DRAIN_MS_MAX = 50;
const DRAIN_SHARE_MAX = 0.1;

function judge(trial: Trial): Probe {
	const { offeredPps } = trial;
	const late = trial.drainMs > Math.max(DRAIN_MS_MAX, DRAIN_SHARE_MAX * trial.seconds * 1_000);
	if (trial.lostPackets > 0 || late) return { verdict: "fails", offeredPps };
	const reached = offeredPps >= GENERATOR_SHARE * trial.ratePps;
	return { verdict: reached ? "passes" : "generator-bound", offeredPps };
}

interface Found extends Highest {
	/** The fastest trial that lost nothing. */
	readonly best: Trial | undefined;
}

async function search(lane: Lane, effort: Effort, load: Omit<Load, "seconds">): Promise<Found> {
	let best: Trial | undefined;
	const probe = async (ratePps: number): Promise<Probe> => {
		for (let attempt = 1; ; attempt++) {
			const trial = await lane.trial({ ...load, ratePps, seconds: effort.seconds, sinkYields: true });
			const judged = judge(trial);
			if (judged.verdict !== "fails" && trial.offeredPps > (best?.offeredPps ?? 0)) best = trial;
			if (judged.verdict === "passes" || attempt >= ATTEMPTS[judged.verdict]) return judged;
		}
	};
	const range = {
		...{ startPps: load.ratePps, leastPps: LEAST_PPS, mostPps: MOST_PPS },
		tolerance: effort.quick ? 1 : 0.05,
	};
	return { ...(await highestPassing(range, probe)), best };
}

/** The median of several searches; `ratePps` of the load is where each starts. */
export async function lossFreeRate(
	lane: Lane,
	effort: Effort,
	load: Omit<Load, "seconds">,
): Promise<Figures> {
	const found: Found[] = [];
	for (let run = 0; run < Math.min(effort.runs, SEARCHES_MAX); run++)
		found.push(await search(lane, effort, load));
	const pps = median(found.map((one) => one.pps));
	const nearest = found.toSorted((a, b) => Math.abs(a.pps - pps) - Math.abs(b.pps - pps))[0];
	const best = nearest?.best;
	return {
		packetsInPps: pps,
		packetsOutPps: pps * lane.task.copies,
		boundBy: nearest?.boundBy ?? "relay",
		relayCores: best === undefined ? 0 : best.cpuNs / best.wallNs,
		sinkDroppedPercent:
			best === undefined ? 0 : (100 * lane.task.copies * best.sinkDroppedPackets) / best.expectedPackets,
	};
}
