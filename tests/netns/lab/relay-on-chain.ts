import { afterAll } from "bun:test";
import { Relay } from "./relay.ts";
import { type Chain, chain } from "./topology.ts";

interface RelayOnChain {
	readonly lab: Chain;
	readonly relay: Relay;
}

/** A chain, and `sluice up` with these options on its relay, then what `prepare` does, for all tests of a file. */
export async function relayOnChain(
	options: readonly string[],
	prepare: (on: RelayOnChain) => Promise<unknown> = async () => {},
): Promise<RelayOnChain> {
	const lab = await chain();
	const relay = new Relay(lab.relay);
	const end = async () => {
		await relay.remove();
		await lab.remove();
	};
	try {
		await relay.up(...options);
		await prepare({ lab, relay });
	} catch (error) {
		// A file that cannot be loaded has no hooks.
		await end();
		throw error;
	}
	afterAll(end);
	return { lab, relay };
}
