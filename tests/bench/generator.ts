/** What the generator reaches by itself, so that nobody takes its limit for a relay's. */

import { gen } from "../netns/lab/traffic.ts";
import { Network, PACKETS, type Placement } from "./network.ts";
import { IN } from "./peers/peer.ts";

/** Individual packets of 1,400 bytes a second from one CPU, to a relay that is not there. */
export interface GeneratorLimits {
	/** One send for each burst of 32, which the kernel cuts into packets. */
	readonly burstsPps: number;
	/** One send for each packet, as streams that interleave packet by packet need it. */
	readonly singlesPps: number;
}

/** Less, and the generator bounds what can be shown. */
const GENERATOR_PPS_WANTED = 1_000_000;

const BURSTS = { count: 300_000, burst: 32, segment: true } as const;
const SINGLES = { count: 100_000, burst: 1, segment: false } as const;
/** It is a limit that is asked for: the best counts. */
const ATTEMPTS = 3;

export async function generatorLimits(cpus: Placement): Promise<GeneratorLimits> {
	const network = await Network.create(PACKETS, cpus);
	const best = async (load: typeof BURSTS | typeof SINGLES): Promise<number> => {
		let most = 0;
		for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
			const { packetsPerSecond } = await gen(network.src, {
				...{ to: `s0:${IN.group}:${IN.port}`, rate: 0, size: 1_400, ...load },
			});
			most = Math.max(most, packetsPerSecond);
		}
		return most;
	};
	try {
		return { burstsPps: await best(BURSTS), singlesPps: await best(SINGLES) };
	} finally {
		await network.remove();
	}
}

export function describeLimits({ burstsPps, singlesPps }: GeneratorLimits): string[] {
	const thousands = (pps: number) => `${Math.round(pps / 1_000)} k/s`;
	const lines = [
		`generator: ${thousands(burstsPps)} individual packets in bursts of 32, ${thousands(singlesPps)} one by one, from one CPU`,
	];
	if (burstsPps < GENERATOR_PPS_WANTED)
		lines.push("generator: less than 1 M/s on this machine now: the fastest figures may be its own");
	return lines;
}
