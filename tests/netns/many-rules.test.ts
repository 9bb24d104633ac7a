import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { assertAccounts, Relay } from "./lab/relay.ts";
import { type Chain, chain } from "./lab/topology.ts";
import { faults, gen, NO_FAULTS, recv } from "./lab/traffic.ts";

/** Rule i takes 239.1.x.y and sends to 239.10.x.y, counted up from .1. */
function address(prefix: string, index: number): string {
	const host = index + 1;
	return `${prefix}.${host >> 8}.${host & 255}`;
}

for (const workers of [1, 2]) {
	describe(`with ${workers} worker${workers > 1 ? "s" : ""}`, () => {
		let lab: Chain;
		let relay: Relay;

		beforeAll(async () => {
			lab = await chain();
			await lab.dst.sysctl("net.ipv4.igmp_max_memberships", 1000);
			relay = new Relay(lab.relay);
			await relay.up("--workers", `${workers}`);
		});

		afterAll(async () => {
			await relay?.remove();
			await lab?.remove();
		});

		for (const streams of [1, 2, 5, 20, 50, 200]) {
			test(`${streams} rules at once lose, double, reorder, damage and mix up nothing`, async () => {
				const rules = Array.from({ length: streams }, (_, index) => ({
					name: `stream-${index}`,
					input: { interface: "r0", group: address("239.1", index), port: 5001 },
					outputs: [{ interface: "r1", address: address("239.10", index), port: 6001 }],
				}));
				await relay.applyRules(rules, "--prune");
				const before = await relay.figures();
				// In a second.
				const count = streams === 200 ? 500 : 1_000;
				const receiver = await recv(lab.dst, { in: "d0:239.10.0.1:6001", streams, expect: count });
				await gen(lab.src, { to: "s0:239.1.0.1:5001", rate: count, count, streams });
				const report = await receiver.report();
				const kernelDropped = (await relay.figures()).interfaces[0]?.kernelDroppedFrames;
				expect({ ...faults(report), kernelDropped }).toEqual({ ...NO_FAULTS, kernelDropped: 0 });
				expect(report.receivedPackets).toBe(count * streams);
				const earlier = before.rules.reduce((sum, rule) => sum + rule.receivedPackets, 0);
				const figures = await relay.figuresAfter(earlier + count * streams);
				assertAccounts(figures);
				const received = figures.rules.reduce((sum, rule) => sum + rule.receivedPackets, 0);
				expect(received - earlier).toBe(count * streams);
			});
		}
	});
}
