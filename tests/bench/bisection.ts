/** The highest rate that passes, found by halving the ratio between one that passes and one that does not. */

export type Verdict =
	| "passes"
	| "fails"
	/** Nothing was lost, but the generator did not reach the rate that was asked for. */
	| "generator-bound";

export interface Probe {
	readonly verdict: Verdict;
	/** What was really offered. */
	readonly offeredPps: number;
}

export interface Range {
	readonly startPps: number;
	readonly leastPps: number;
	readonly mostPps: number;
	/** The search ends when what fails is at most this much above what passes: 0.05 is 5 %. */
	readonly tolerance: number;
}

export interface Highest {
	/** 0: not even the least passes. */
	readonly pps: number;
	/** What keeps it from being higher. */
	readonly boundBy: "relay" | "generator" | "range";
}

export async function highestPassing(
	range: Range,
	probe: (ratePps: number) => Promise<Probe>,
): Promise<Highest> {
	let passing: number | undefined;
	let failing: number | undefined;
	let ratePps = range.startPps;
	for (;;) {
		const { verdict, offeredPps } = await probe(ratePps);
		if (verdict === "generator-bound")
			return { pps: Math.max(passing ?? 0, offeredPps), boundBy: "generator" };
		if (verdict === "passes") passing = ratePps;
		else failing = ratePps;
		if (failing === undefined) {
			if (ratePps >= range.mostPps) return { pps: ratePps, boundBy: "range" };
			ratePps = Math.min(range.mostPps, ratePps * 2);
		} else if (passing === undefined) {
			if (ratePps <= range.leastPps) return { pps: 0, boundBy: "relay" };
			ratePps = Math.max(range.leastPps, Math.floor(ratePps / 2));
		} else {
			if (failing <= passing * (1 + range.tolerance)) return { pps: passing, boundBy: "relay" };
			const middle = Math.round(Math.sqrt(passing * failing));
			if (middle <= passing || middle >= failing) return { pps: passing, boundBy: "relay" };
			ratePps = middle;
		}
	}
}
