/**
 * What each peer stands in, and no other: the chain.
 *
 *    src                relay               dst
 *   ┌─────┐  10.1.0/24 ┌───────┐ 10.2.0/24 ┌─────┐
 *   │   s0├────────────┤r0   r1├───────────┤d0   │
 *   └─────┘.2        .1└───────┘.1       .2└─────┘
 */

import { connect, Namespace } from "../netns/lab/namespace.ts";

/** How bursts cross each of the two cables. */
export interface Wire {
	/** Generator to relay; GRO: packets on the cable, which the relay's kernel merges as it receives them. */
	readonly ingress: "packets" | "super-packets" | "GRO";
	/** Relay to sink: whether the kernel segments before the device, or leaves it to the device. */
	readonly egress: "packets" | "super-packets";
}

export const PACKETS: Wire = { ingress: "packets", egress: "packets" };

export function describeWire({ ingress, egress }: Wire): string {
	const ways = {
		packets: "individual packets (segmentation in software)",
		"super-packets": "super-packets (the device segments)",
		GRO: "individual packets that GRO merges into super-packets",
	};
	const way = (kind: Wire["ingress"]) => ways[kind];
	return `${way(ingress)} in, ${way(egress)} out`;
}

export const ADDRESSES = {
	source: "10.1.0.2",
	input: "10.1.0.1",
	output: "10.2.0.1",
	sink: "10.2.0.2",
} as const;

/** Generator and sink share the first CPU, the relay has the second, where there is one. */
export interface Placement {
	readonly traffic: number | undefined;
	readonly relay: number | undefined;
}

export const UNPINNED: Placement = { traffic: undefined, relay: undefined };

export function placement(allowed: readonly number[]): Placement {
	const [traffic, relay] = allowed;
	return relay === undefined ? UNPINNED : { traffic, relay };
}

/** What a veth asks for before it merges: it does so for packets that are only to be forwarded as well. */
const GRO = ["gro", "on", "rx-udp-gro-forwarding", "on"];

/** Only ethtool switches GRO of a veth on. */
export function canMerge(): boolean {
	return Bun.which("ethtool") !== null;
}

function refuseVeth(error: Error): never {
	if (/Unknown device type|not supported/.test(error.message))
		throw new Error("this kernel has no veth devices: load the module veth (modprobe veth)");
	throw error;
}

export class Network {
	private constructor(
		readonly src: Namespace,
		readonly relay: Namespace,
		readonly dst: Namespace,
		readonly wire: Wire,
		/** The sink's interface merges bursts as network cards do, so that its network stack takes little of the relay's time. */
		readonly sinkMerges: boolean,
	) {}

	static async create(wire: Wire, cpus: Placement): Promise<Network> {
		const [src, relay, dst] = [
			await Namespace.create("src"),
			await Namespace.create("relay"),
			await Namespace.create("dst"),
		];
		// What leaves is counted by the interface: nothing else may speak there.
		await relay.sysctl("net.ipv6.conf.default.disable_ipv6", 1).catch(() => undefined);
		await connect(
			{ namespace: src, name: "s0", address: `${ADDRESSES.source}/24` },
			{ namespace: relay, name: "r0", address: `${ADDRESSES.input}/24` },
		).catch(refuseVeth);
		await connect(
			{ namespace: relay, name: "r1", address: `${ADDRESSES.output}/24` },
			{ namespace: dst, name: "d0", address: `${ADDRESSES.sink}/24` },
		);
		// Of a multicast address that no route covers, the kernel makes a route anew for each send.
		await src.ip("route", "add", "224.0.0.0/4", "dev", "s0");
		// A device that takes one segment at a time leaves the segmentation to the kernel, packet by packet.
		if (wire.ingress !== "super-packets") await src.ip("link", "set", "s0", "gso_max_segs", "1");
		if (wire.ingress === "GRO") {
			if (!canMerge()) throw new Error("GRO is switched on by ethtool: install it");
			await relay.must(["ethtool", "-K", "r0", ...GRO]);
		}
		if (wire.egress === "packets") await relay.ip("link", "set", "r1", "gso_max_segs", "1");
		if (cpus.traffic !== undefined && cpus.relay !== undefined) {
			src.pin(cpus.traffic);
			dst.pin(cpus.traffic);
			relay.pin(cpus.relay);
		}
		const sinkMerges = canMerge();
		if (sinkMerges) await dst.must(["ethtool", "-K", "d0", ...GRO]);
		return new Network(src, relay, dst, wire, sinkMerges);
	}

	/** Processes of the relay: nothing else lives in its namespace. */
	async relayPids(): Promise<number[]> {
		const listed = Bun.spawn(["ip", "netns", "pids", this.relay.name], { stdout: "pipe" });
		return (await listed.stdout.text()).split("\n").filter(Boolean).map(Number);
	}

	async remove(): Promise<void> {
		await this.relay.remove();
		await Promise.all([this.src.remove(), this.dst.remove()]);
	}
}
