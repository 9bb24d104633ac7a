/** The soak's own networks and cluster: tests' chain with two more inputs, and a real `sluice up` in it. */

import { connect } from "../netns/lab/namespace.ts";
import { Relay } from "../netns/lab/relay.ts";
import { type Chain, chain } from "../netns/lab/topology.ts";
import { STABLE_RULES } from "./flows.ts";
import { WORKERS } from "./plan.ts";

/** Devices whose far end may have no room, by the namespace that sends on them. */
const SENDING = { src: ["s0", "s3", "s4"], relay: ["r1", "r2"] } as const;

export class Rig {
	private constructor(
		readonly lab: Chain,
		readonly relay: Relay,
	) {}

	/** `onMade` gets the rig before anything can fail that would leave it behind. */
	static async start(onMade: (rig: Rig) => void): Promise<Rig> {
		const lab = await chain();
		const rig = new Rig(lab, new Relay(lab.relay, "soak"));
		onMade(rig);
		for (const number of [3, 4]) {
			await connect(
				{ namespace: lab.src, name: `s${number}`, address: `10.1.${number}.2/24` },
				{ namespace: lab.relay, name: `r${number}`, address: `10.1.${number}.1/24` },
			);
		}
		await rig.relay.up("--workers", `${WORKERS}`);
		await rig.restoreRules();
		return rig;
	}

	/** Only the rules that are always there, and untouched if they are. */
	async restoreRules(): Promise<void> {
		await this.relay.applyRules([...STABLE_RULES], "--prune");
	}

	/** What each device had no room for, since it was made. */
	async lostOnWire(): Promise<Record<string, number>> {
		const lost: Record<string, number> = {};
		for (const place of ["src", "relay"] as const) {
			for (const device of SENDING[place]) {
				const path = `/sys/class/net/${device}/statistics/tx_dropped`;
				lost[device] = Number(await this.lab[place].read(path));
			}
		}
		return lost;
	}

	async remove(): Promise<void> {
		await this.relay.remove();
		await this.lab.remove();
	}
}
