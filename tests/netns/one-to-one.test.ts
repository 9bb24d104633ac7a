import { expect, test } from "bun:test";
import { until } from "./lab/commands.ts";
import { assertAccounts } from "./lab/relay.ts";
import { relayOnChain } from "./lab/relay-on-chain.ts";
import { UNROUTABLE_SOURCE } from "./lab/topology.ts";
import { faults, gen, NO_FAULTS, recv } from "./lab/traffic.ts";

const { lab, relay } = await relayOnChain(["--workers", "2"], async ({ relay }) => {
	await relay.sluice("rule", "add", "video", "--in", "r0:239.1.1.1:5001", "--out", "r1:239.10.1.1:6001");
});

async function reversePathDrops(): Promise<number> {
	const lines = (await lab.relay.read("/proc/net/netstat"))
		.split("\n")
		.filter((line) => line.startsWith("TcpExt:"));
	const [names, values] = lines.map((line) => line.split(" "));
	return Number(values?.[names?.indexOf("IPReversePathFilter") ?? -1]);
}

test("a stream that the relay's own kernel drops arrives whole, from the relay's address, with port and TTL as promised", async () => {
	const before = await reversePathDrops();
	const receiver = await recv(lab.dst, { in: "d0:239.10.1.1:6001", expect: 2_000 });
	await gen(lab.src, {
		to: "s0:239.1.1.1:5001",
		rate: 2_000,
		count: 2_000,
		source: UNROUTABLE_SOURCE,
		ttl: 3,
	});
	const report = await receiver.report();
	expect(faults(report)).toEqual(NO_FAULTS);
	const stream = report.streams[0];
	expect(stream?.receivedPackets).toBe(2_000);
	expect(stream?.sourceAddress).toBe("10.2.0.1");
	expect(stream?.sourcePort).toBe(6001);
	expect(stream?.sourceChanges).toBe(0);
	expect(stream?.ttl).toBe(16);
	expect(stream?.dscp).toBe(0);
	// The same datagrams, seen by the relay's IP stack: all of them refused.
	expect((await reversePathDrops()) - before).toBeGreaterThanOrEqual(2_000);
});

for (const size of [24, 25, 63, 64, 65, 127, 128, 255, 256, 511, 512, 1023, 1024, 1399, 1400, 1471, 1472]) {
	test(`payloads of ${size} bytes are identical`, async () => {
		const receiver = await recv(lab.dst, { in: "d0:239.10.1.1:6001", expect: 100 });
		await gen(lab.src, {
			to: "s0:239.1.1.1:5001",
			rate: 2_000,
			count: 100,
			size,
			burst: 5,
			source: UNROUTABLE_SOURCE,
		});
		const report = await receiver.report();
		expect(faults(report)).toEqual(NO_FAULTS);
		expect(report.receivedPackets).toBe(100);
		expect(report.streams[0]?.payloadBytesMin).toBe(size);
		expect(report.streams[0]?.payloadBytesMax).toBe(size);
	});
}

test("a program on the relay host hears an output on lo or to the host's own address, and no group sent elsewhere", async () => {
	await relay.sluice(
		...["rule", "add", "here", "--in", "r0:239.1.1.9:5001", "--out", "r1:239.10.1.9:6009"],
		...["--out", "lo:239.10.2.9:6008", "--out", "r1:10.2.0.1:6010,source-port=40001"],
	);
	const [there, onLo, own, elsewhere] = await Promise.all([
		recv(lab.dst, { in: "d0:239.10.1.9:6009", expect: 50 }),
		recv(lab.relay, { in: "lo:239.10.2.9:6008", expect: 50 }),
		recv(lab.relay, { in: "r1:10.2.0.1:6010", expect: 50 }),
		recv(lab.relay, { in: "r1:239.10.1.9:6009" }),
	]);
	await gen(lab.src, { to: "s0:239.1.1.9:5001", rate: 1_000, count: 50, source: UNROUTABLE_SOURCE });
	for (const receiver of [there, onLo, own]) expect((await receiver.report()).receivedPackets).toBe(50);
	expect((await elsewhere.stop()).receivedPackets).toBe(0);
	await relay.sluice("rule", "remove", "here");
});

test("TTL, DSCP and source port of an output are those of the rule", async () => {
	await relay.sluice(
		...["rule", "add", "marked", "--in", "r0:239.1.1.2:5001"],
		...["--out", "r1:239.10.1.2:6002,ttl=7,dscp=46,source-port=40000"],
	);
	const receiver = await recv(lab.dst, { in: "d0:239.10.1.2:6002", expect: 50 });
	await gen(lab.src, { to: "s0:239.1.1.2:5001", rate: 1_000, count: 50, source: UNROUTABLE_SOURCE });
	const stream = (await receiver.report()).streams[0];
	expect(stream).toMatchObject({
		receivedPackets: 50,
		ttl: 7,
		dscp: 46,
		sourcePort: 40000,
		sourceAddress: "10.2.0.1",
	});
	await relay.sluice("rule", "remove", "marked");
});

test("the figures account for every datagram", async () => {
	const sent = 2_000 + 17 * 100;
	// Each of the two rules that were removed meanwhile had 50 more.
	const figures = await until("everything is published", async () => {
		const latest = await relay.figures();
		return latest.interfaces[0]?.capturedFrames === sent + 2 * 50 ? latest : undefined;
	});
	assertAccounts(figures);
	const video = figures.rules.find((rule) => rule.name === "video");
	expect(video).toMatchObject({ receivedPackets: sent, forwardedPackets: sent, droppedPackets: {} });
	expect(video?.outputs[0]).toMatchObject({ eligiblePackets: sent, sentPackets: sent, failedPackets: 0 });
	const input = figures.interfaces.find((entry) => entry.interface === "r0");
	expect(input).toMatchObject({ kernelDroppedFrames: 0, unmatchedPackets: 0, droppedPackets: {} });
});
