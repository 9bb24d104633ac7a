import { expect, test } from "bun:test";
import type { ServerInfo } from "@nats-io/transport-node";
import { freePort, startNatsServer } from "@sluice/lib/testing/nats-server";
import { until } from "@sluice/lib/testing/until";
import { EVERYTHING, listened, listenedIn } from "./listeners.ts";

/** As nats-server tells it. */
function answer(...connections: string[][]) {
	return { data: { connections: connections.map((subjects) => ({ subscriptions_list: subjects })) } };
}

const VIDEO = ["sluice.v1.stats.video", "sluice.v1.stats.video.json"];
const OWN = ["sluice.v1.counters.>", "sluice.v1.stats.get", "_INBOX.stats-aggregator.x.*"];

test.each([
	["sluice.v1.stats.video", true, false],
	["sluice.v1.stats.video.json", false, true],
	["sluice.v1.stats.*", true, false],
	["sluice.v1.stats.*.json", false, true],
	["sluice.v1.stats.>", true, true],
	["sluice.*.stats.video.>", false, true],
	["sluice.v1.*.*", true, false],
	[">", true, true],
	["sluice.v1.stats.vid", false, false],
	["sluice.v1.stats.vide?", false, false],
	["sluice.v1.stats.video.json.>", false, false],
])("%s hears what the server would deliver to it", (subscription, binary, json) => {
	const heard = listenedIn(answer(OWN, ["other.>", subscription]));
	expect(VIDEO.map((subject) => heard.has(subject))).toEqual([binary, json]);
});

test("an aggregator that waits to be asked is no listener", () => {
	expect(listenedIn(answer(["sluice.v1.stats.get"])).any).toBe(false);
	expect(listenedIn(answer(OWN)).any).toBe(false);
	expect(listenedIn({ data: { connections: [] } }).any).toBe(false);
});

test("too many to tell apart hear everything", () => {
	const many = (count: number, subject: (k: number) => string) =>
		listenedIn(answer(...Array.from({ length: count }, (_, k) => [subject(k)])));
	expect(many(65, (k) => `sluice.v1.stats.a${k}.>`).has("sluice.v1.stats.video")).toBe(true);
	expect(many(64, (k) => `sluice.v1.stats.a${k}.>`).has("sluice.v1.stats.video")).toBe(false);
	expect(many(1_000, () => "sluice.v1.stats.other").has("sluice.v1.stats.video")).toBe(true);
});

test("what is no such answer is refused", () => {
	for (const wrong of [{}, { data: {} }, { data: { connections: null } }, { error: { code: 500 } }])
		expect(() => listenedIn(wrong)).toThrow("does not tell");
});

test("of several servers none is asked: each knows its own connections alone", async () => {
	const request = () => Promise.reject(new Error("asked"));
	const info = { cluster: "east" } as ServerInfo;
	expect(await listened({ info, request })).toBe(EVERYTHING);
	await expect(listened({ info: {} as ServerInfo, request })).rejects.toThrow("asked");
});

test("behind a leaf node all hear everything", async () => {
	const port = await freePort();
	const hub = await startNatsServer({ more: `leafnodes { listen: "127.0.0.1:${port}" }` });
	const nc = await hub.connect();
	expect((await listened(nc)).any).toBe(false);
	const leaf = await startNatsServer({
		more: `leafnodes { remotes: [{ url: "nats://127.0.0.1:${port}" }] }`,
	});
	await until(async () => (await listened(nc)) === EVERYTHING);
	await leaf.stop();
	await hub.stop();
});
