import { afterEach, beforeEach, expect, test } from "bun:test";
import { fromBinary, fromJsonString } from "@bufbuild/protobuf";
import type { Msg } from "@nats-io/transport-node";
import { until } from "@sluice/lib/testing/until";
import { type RuleStats, RuleStatsSchema } from "@sluice/proto/gen/stats";
import { TestAggregators } from "./testing/aggregators.ts";
import { uid } from "./testing/counters.ts";

let aggregators: TestAggregators;

beforeEach(async () => {
	aggregators = await TestAggregators.open();
});

afterEach(() => aggregators.close());

test("publishes a rule that counts nothing each second as well", async () => {
	const heardMs: number[] = [];
	aggregators.nc.subscribe("sluice.v1.stats.video", { callback: () => void heardMs.push(performance.now()) });
	await aggregators.nc.flush();
	await aggregators.start();
	await until(() => heardMs.length >= 4);
	expect((heardMs[3] ?? 0) - (heardMs[0] ?? 0)).toBeLessThan(8_000);
});

test("publishes the same figures in JSON, for whoever watches from a shell", async () => {
	const heard: Msg[] = [];
	aggregators.nc.subscribe("sluice.v1.stats.>", { callback: (_, message) => void heard.push(message) });
	aggregators.publish({ sequence: 1n, rules: [{ uid: uid(1), received: 10n }] });
	await aggregators.nc.flush();
	await aggregators.start();
	await until(() => heard.length >= 2);
	const [binary, json] = heard;
	expect(json?.subject).toBe(`${binary?.subject}.json`);
	expect(json?.headers?.get("Content-Type")).toBe("application/json");
	const figures = fromJsonString(RuleStatsSchema, json?.string() ?? "");
	expect(figures).toEqual(fromBinary(RuleStatsSchema, binary?.data ?? new Uint8Array()));
	expect(figures.receivedPackets).toBe(10n);
});

test("what nobody listens to is not sent, and whoever begins to listen hears the next run", async () => {
	for (let k = 1; k <= 50; k++) await aggregators.putRule(`r-${k}`, k);
	const log = await aggregators.start("debug");
	const runs = () =>
		[...log().matchAll(/"rules":(\d+),"msg":"published"|"msg":"published","rules":(\d+)/g)].map(([, a, b]) =>
			Number(a ?? b),
		);
	await until(() => runs().length >= 2);
	expect(Math.max(...runs())).toBe(0);
	const heard = new Set<string>();
	const listen = (subject: string) =>
		aggregators.nc.subscribe(subject, { callback: (_, message) => void heard.add(message.subject) });
	const one = listen("sluice.v1.stats.r-7");
	await until(() => heard.size > 0);
	await until(() => runs().at(-1) === 1);
	one.unsubscribe();
	await until(() => runs().at(-1) === 0);
	listen("sluice.v1.stats.*.json");
	await until(() => runs().at(-1) === 51);
	await until(() => heard.size === 52);
});

test("nothing is sent to a server that stands still: it would fill the aggregator's memory", async () => {
	for (let k = 1; k <= 50; k++) await aggregators.putRule(`r-${k}`, k);
	const log = await aggregators.start("debug");
	const runs = () =>
		[...log().matchAll(/"rules":(\d+),"msg":"published"|"msg":"published","rules":(\d+)/g)].map(([, a, b]) =>
			Number(a ?? b),
		);
	await until(() => runs().length >= 1);
	await aggregators.server.standStill();
	try {
		const before = runs().length;
		await until(() => runs().length >= before + 4);
		expect(Math.max(...runs())).toBe(0);
	} finally {
		aggregators.server.goOn();
	}
});

test("publishes each rule's figures each second, and several aggregators say the same", async () => {
	const heard: RuleStats[] = [];
	aggregators.nc.subscribe("sluice.v1.stats.video", {
		callback: (_, message) => {
			heard.push(fromBinary(RuleStatsSchema, message.data));
		},
	});
	aggregators.publish({ sequence: 1n, rules: [{ uid: uid(1), received: 10n }] });
	await aggregators.nc.flush();
	await Promise.all([aggregators.start(), aggregators.start()]);
	aggregators.publish({ sequence: 2n, rules: [{ uid: uid(1), received: 20n }] });
	// Both publish: whoever listens hears the same twice.
	await until(() => heard.filter(({ receivedPackets }) => receivedPackets === 20n).length >= 2);
	const answers = await Promise.all(Array.from({ length: 20 }, () => aggregators.received()));
	expect(new Set(answers)).toEqual(new Set([20n]));
});
