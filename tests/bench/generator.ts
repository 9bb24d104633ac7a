/** What the generator reaches by itself, so that nobody takes its limit for a relay's. */

import { gen } from "../netns/lab/traffic.ts";
import { Network, PACKETS, type Placement } from "./network.ts";
import { IN } from "./peers/peer.ts";

const COUNT = 300_000;

/** Individual packets of 1,400 bytes in bursts of 32, to a relay that is not there. */
export async function generatorPps(cpus: Placement): Promise<number> {
	const network = await Network.create(PACKETS, cpus);
	try {
		const { packetsPerSecond } = await gen(network.src, {
			...{ to: `s0:${IN.group}:${IN.port}`, rate: 0, count: COUNT, size: 1_400, burst: 32, segment: true },
		});
		return packetsPerSecond;
	} finally {
		await network.remove();
	}
}
