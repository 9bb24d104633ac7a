import { expect, test } from "bun:test";
import { assertAccounts } from "./lab/relay.ts";
import { relayOnChain } from "./lab/relay-on-chain.ts";
import { faults, gen, NO_FAULTS, type Receiver, recv } from "./lab/traffic.ts";

const { lab, relay } = await relayOnChain(["--workers", "2"], async ({ lab }) => {
	await lab.dst.sysctl("net.ipv4.igmp_max_memberships", 1000);
});

/** Half of the groups on each interface, and one unicast receiver. */
function outputs(width: number) {
	const groups = width - 1;
	const onFirst = Math.ceil(groups / 2);
	return {
		onFirst,
		onSecond: groups - onFirst,
		list: [
			...Array.from({ length: onFirst }, (_, index) => ({
				interface: "r1",
				address: `239.20.0.${index + 1}`,
				port: 6001,
			})),
			...Array.from({ length: groups - onFirst }, (_, index) => ({
				interface: "r2",
				address: `239.30.0.${index + 1}`,
				port: 6002,
			})),
			{ interface: "r2", address: "10.3.0.2", port: 6003 },
		],
	};
}

for (const width of [4, 16, 64]) {
	test(`1→${width}: every output gets every datagram`, async () => {
		const count = 3_000;
		const fan = outputs(width);
		const name = `fan-${width}`;
		await relay.applyRules(
			[{ name, input: { interface: "r0", group: "239.1.1.1", port: 5001 }, outputs: fan.list }],
			"--prune",
		);
		const receivers: Receiver[] = [
			await recv(lab.dst, { in: "d0:239.20.0.1:6001", copies: fan.onFirst, expect: count }),
			await recv(lab.dst, { in: "d1:239.30.0.1:6002", copies: fan.onSecond, expect: count }),
			await recv(lab.dst, { in: "d1:10.3.0.2:6003", expect: count }),
		];
		await gen(lab.src, { to: "s0:239.1.1.1:5001", rate: 1_500, count, size: 1_000 });
		for (const receiver of receivers) {
			const report = await receiver.report();
			expect(faults(report)).toEqual(NO_FAULTS);
			for (const stream of report.streams) expect(stream.receivedPackets).toBe(count);
		}
		const figures = await relay.figuresAfter(count);
		assertAccounts(figures);
		expect(figures.rules[0]).toMatchObject({ name, receivedPackets: count, forwardedPackets: count });
		expect(figures.rules[0]?.outputs).toHaveLength(width);
		for (const output of figures.rules[0]?.outputs ?? []) {
			expect(output).toMatchObject({ eligiblePackets: count, sentPackets: count, sentBytes: count * 1_000 });
		}
	});
}
