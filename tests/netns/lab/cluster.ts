import { expect } from "bun:test";
import { type Hosts, severalHosts } from "./hosts.ts";
import { Relay } from "./relay.ts";
import { faults, genUntilStopped, NO_FAULTS, recv } from "./traffic.ts";

/** `sluice up` on relay-a, the first of severalHosts(), and what joins it: relay-b, relay-c and relay-d. */
export class Cluster {
	readonly first: Relay;
	readonly b: Relay;
	readonly c: Relay;
	readonly d: Relay;

	private constructor(readonly lab: Hosts) {
		this.first = new Relay(lab.a, "relay-a");
		this.b = new Relay(lab.b, "relay-b");
		this.c = new Relay(lab.c, "relay-c");
		this.d = new Relay(lab.d, "relay-d");
	}

	/** Its first host is up, with these options. */
	static async create(...options: string[]): Promise<Cluster> {
		const cluster = new Cluster(await severalHosts());
		const listen = ["--nats-listen", `${cluster.lab.natsAddress}:4222`];
		try {
			await cluster.first.up("--workers", "1", ...listen, ...options);
			return cluster;
		} catch (error) {
			await cluster.remove();
			throw error;
		}
	}

	get joined(): Relay[] {
		return [this.b, this.c, this.d];
	}

	/** The others, at once. */
	async join(): Promise<void> {
		await Promise.all(this.joined.map((relay) => relay.join(this.first)));
	}

	/** Nothing is lost on its way through the chain of relay-a, relay-b and relay-c while this is done. */
	async flowThrough(act: () => Promise<void>): Promise<void> {
		const receiver = await recv(this.lab.lc, { in: "l0:239.1.3.1:5001", idleSeconds: 60 });
		const stop = genUntilStopped(this.lab.la, { to: "l0:239.1.0.1:5001", rate: 1_000 });
		await act();
		const sent = await stop();
		const report = await receiver.reportAfter(sent);
		expect({ got: report.receivedPackets, ...faults(report) }).toEqual({ got: sent, ...NO_FAULTS });
	}

	async remove(): Promise<void> {
		await Promise.all(this.joined.map((relay) => relay.remove()));
		await this.first.remove();
		await this.lab.remove();
	}
}
