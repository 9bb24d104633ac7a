import { expect } from "bun:test";
import { connect, Namespace } from "../../netns/lab/namespace.ts";
import { publications } from "../../netns/lab/publications.ts";
import { type Chain, chain, type Topology, UNROUTABLE_SOURCE } from "../../netns/lab/topology.ts";
import { faults, gen, genUntilStopped, NO_FAULTS, recv, sendWhile } from "../../netns/lab/traffic.ts";
import type { Deployment } from "./deployment.ts";

/**
 *    src           relay-a          relay-b        dst
 *   ┌────┐        ┌───────┐        ┌───────┐      ┌────┐
 *   │  s0├────────┤r0  to-b├───────┤from-a │      │    │
 *   │    │        │     r1├────────┼───────┼──────┤d0  │
 *   └────┘        └───────┘        │    out├──────┤d2  │
 *                                  └───────┘      └────┘
 *
 * The "host networks" of two engines. The rule of relay-a is 239.1.1.1:5001 on r0 to 239.10.1.1:6001 on r1.
 */
export class RelayHosts implements Topology {
	readonly src: Namespace;
	readonly a: Namespace;
	readonly dst: Namespace;

	private constructor(
		readonly chain: Chain,
		readonly b: Namespace,
	) {
		this.src = chain.src;
		this.a = chain.relay;
		this.dst = chain.dst;
	}

	static async create(): Promise<RelayHosts> {
		const hosts = new RelayHosts(await chain(), await Namespace.create("relay-b"));
		await connect(
			{ namespace: hosts.a, name: "to-b", address: "10.9.0.1/24" },
			{ namespace: hosts.b, name: "from-a", address: "10.9.0.2/24" },
		);
		await connect(
			{ namespace: hosts.b, name: "out", address: "10.8.0.1/24" },
			{ namespace: hosts.dst, name: "d2", address: "10.8.0.2/24" },
		);
		return hosts;
	}

	/** Interfaces of relay-a, a line each. */
	async links(): Promise<string> {
		const all = JSON.parse(await this.a.ip("-json", "link")) as { ifname: string; address: string }[];
		return all.map(({ ifname, address }) => `${ifname} ${address}`).join("\n");
	}

	/** That rule, which takes what is sent below. */
	async addRule(host: Deployment): Promise<void> {
		const answer = await host.sluice(
			...["control-api", "--timeout", "60", "rule", "add", "video"],
			...["--in", "r0:239.1.1.1:5001", "--out", "r1:239.10.1.1:6001"],
		);
		expect(answer).toBe("rule video: ACTIVE on relay-a\n");
	}

	/** Sends what the rule takes and expects every datagram, once and in order. */
	async flows(count = 1_000): Promise<void> {
		const receiver = await recv(this.dst, { in: "d0:239.10.1.1:6001", expect: count });
		await gen(this.src, { to: "s0:239.1.1.1:5001", rate: 2_000, count, source: UNROUTABLE_SOURCE });
		const report = await receiver.report();
		expect([faults(report), report.receivedPackets]).toEqual([NO_FAULTS, count]);
	}

	/** Sends without end until something comes through: nobody asks the relay for anything. */
	async flowsAgain(): Promise<void> {
		const receiver = await recv(this.dst, { in: "d0:239.10.1.1:6001", expect: 100, idleSeconds: 60 });
		const stop = genUntilStopped(this.src, { to: "s0:239.1.1.1:5001", rate: 500, source: UNROUTABLE_SOURCE });
		const report = await receiver.report();
		await stop();
		expect(report.receivedPackets).toBeGreaterThanOrEqual(100);
		expect(report.duplicatedPackets).toBe(0);
	}

	/** What is done to the deployment costs no datagram. */
	async flowThrough(host: Deployment, act: () => Promise<void>): Promise<void> {
		const stream = { rate: 1_000, source: UNROUTABLE_SOURCE };
		const { sent, report } = await sendWhile(this.chain, stream, act, () =>
			publications(() => host.sluice("control-api", "--json", "stats"), 1),
		);
		expect([faults(report), report.receivedPackets]).toEqual([NO_FAULTS, sent.sentPackets]);
	}

	async remove(): Promise<void> {
		await this.b.remove();
		await this.chain.remove();
	}
}
