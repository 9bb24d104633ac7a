import { connect, Namespace } from "./namespace.ts";
import type { Topology } from "./topology.ts";

/**
 * Four relay hosts, with a leaf (a source or a receiver, called after its host) at three of them:
 *
 *    la                                                         lc
 *   ┌────┐     ┌──────────┐      ┌────────────┐      ┌─────────────┐     ┌────┐
 *   │  l0├─────┤in a  to-b├──────┤from-a b to-c├─────┤from-b c  out├─────┤l0  │
 *   └────┘     │          │      └──┬──out────┘      │             │     └────┘
 *              │      to-c├─────────┼────────────────┤from-a       │
 *              │          │       lb└──l0            │             │
 *              │      to-d├──────┤from-a d to-c├─────┤from-d       │
 *              └──────────┘      └─────────────┘     └─────────────┘
 *
 * and m0 on each of them in one network of its own, where NATS is.
 */
export interface Hosts extends Topology {
	a: Namespace;
	b: Namespace;
	c: Namespace;
	d: Namespace;
	la: Namespace;
	lb: Namespace;
	lc: Namespace;
	/** Of the first host in the network of NATS. */
	natsAddress: string;
}

export async function severalHosts(): Promise<Hosts> {
	const make = (role: string) => Namespace.create(role);
	const [a, b, c, d] = [await make("a"), await make("b"), await make("c"), await make("d")];
	const [la, lb, lc, hub] = [await make("la"), await make("lb"), await make("lc"), await make("hub")];
	let network = 0;
	const link = async (from: Namespace, name: string, to: Namespace, peer: string) => {
		network += 1;
		await connect(
			{ namespace: from, name, address: `10.${network}.0.1/24` },
			{ namespace: to, name: peer, address: `10.${network}.0.2/24` },
		);
	};
	await link(la, "l0", a, "in");
	await link(a, "to-b", b, "from-a");
	await link(a, "to-c", c, "from-a");
	await link(a, "to-d", d, "from-a");
	await link(b, "to-c", c, "from-b");
	await link(d, "to-c", c, "from-d");
	await link(b, "out", lb, "l0");
	await link(c, "out", lc, "l0");
	await hub.ip("link", "add", "br0", "type", "bridge");
	await hub.ip("link", "set", "br0", "up");
	for (const [index, host] of [a, b, c, d].entries()) {
		const port = `p${index}`;
		await connect(
			{ namespace: hub, name: port },
			{ namespace: host, name: "m0", address: `10.99.0.${index + 1}/24` },
		);
		await hub.ip("link", "set", port, "master", "br0");
	}
	return {
		...{ a, b, c, d, la, lb, lc },
		natsAddress: "10.99.0.1",
		async remove() {
			await Promise.all([a, b, c, d].map((host) => host.remove()));
			await Promise.all([la, lb, lc, hub].map((each) => each.remove()));
		},
	};
}
