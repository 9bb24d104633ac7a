import { connect, Namespace } from "./namespace.ts";

/**
 * The networks the tests run on. Each is made of fresh namespaces, so that
 * several files and several checkouts can run side by side on one machine.
 */
export interface Topology {
	remove(): Promise<void>;
}

/**
 *    src                relay               dst
 *   ┌─────┐  10.1.0/24 ┌───────┐ 10.2.0/24 ┌─────┐
 *   │   s0├────────────┤r0   r1├───────────┤d0   │
 *   │     │.2        .1│       │.1       .2│     │
 *   └─────┘            │     r2├───────────┤d1   │
 *                      └───────┘ 10.3.0/24 └─────┘
 *
 * rp_filter is 1 on r0: what comes from an unroutable source never gets
 * past the relay's own IP stack.
 */
export interface Chain extends Topology {
	src: Namespace;
	relay: Namespace;
	dst: Namespace;
}

/** A source that no route of the relay leads to (TEST-NET-3). */
export const UNROUTABLE_SOURCE = "203.0.113.7";

export async function chain(options: { mtu?: number } = {}): Promise<Chain> {
	const src = await Namespace.create("src");
	const relay = await Namespace.create("relay");
	const dst = await Namespace.create("dst");
	await connect(
		{ namespace: src, name: "s0", address: "10.1.0.2/24" },
		{ namespace: relay, name: "r0", address: "10.1.0.1/24" },
		options.mtu,
	);
	await connect(
		{ namespace: relay, name: "r1", address: "10.2.0.1/24" },
		{ namespace: dst, name: "d0", address: "10.2.0.2/24" },
		options.mtu,
	);
	await connect(
		{ namespace: relay, name: "r2", address: "10.3.0.1/24" },
		{ namespace: dst, name: "d1", address: "10.3.0.2/24" },
		options.mtu,
	);
	await relay.sysctl("net.ipv4.conf.all.rp_filter", 1);
	await relay.sysctl("net.ipv4.conf.r0.rp_filter", 1);
	return {
		src,
		relay,
		dst,
		async remove() {
			await relay.remove();
			await Promise.all([src.remove(), dst.remove()]);
		},
	};
}

/**
 *    src         relay 1      relay 2      relay 3       dst
 *   ┌────┐      ┌───────┐    ┌───────┐    ┌───────┐    ┌────┐
 *   │  s0├──────┤r0   r1├────┤r0   r1├────┤r0   r1├────┤d0  │
 *   └────┘ 10.1 └───────┘10.2└───────┘10.3└───────┘10.4└────┘
 */
export interface ChainOfThree extends Topology {
	src: Namespace;
	relays: [Namespace, Namespace, Namespace];
	dst: Namespace;
}

export async function chainOfThree(): Promise<ChainOfThree> {
	const src = await Namespace.create("src");
	const relays: [Namespace, Namespace, Namespace] = [
		await Namespace.create("relay1"),
		await Namespace.create("relay2"),
		await Namespace.create("relay3"),
	];
	const dst = await Namespace.create("dst");
	const hops = [src, ...relays, dst];
	for (let hop = 0; hop + 1 < hops.length; hop++) {
		const from = hops[hop];
		const to = hops[hop + 1];
		if (!from || !to) break;
		await connect(
			{ namespace: from, name: from === src ? "s0" : "r1", address: `10.${hop + 1}.0.1/24` },
			{ namespace: to, name: to === dst ? "d0" : "r0", address: `10.${hop + 1}.0.2/24` },
		);
	}
	return {
		src,
		relays,
		dst,
		async remove() {
			await Promise.all(relays.map((relay) => relay.remove()));
			await Promise.all([src.remove(), dst.remove()]);
		},
	};
}
