import { afterEach, beforeEach, expect, test } from "bun:test";
import { until } from "@sluice/lib/testing/until";
import { RuleStatus_State } from "@sluice/proto/gen/rule";
import { discoverySubject, requests } from "@sluice/proto/subjects";
import { exampleRule, manyRules, refusal, TestCluster } from "../testing/cluster.ts";

let cluster: TestCluster;
beforeEach(async () => {
	cluster = await TestCluster.start();
	await cluster.startApi();
});
afterEach(async () => {
	await cluster.stop();
});

function headerOf(message: { headers?: { get(name: string): string } | undefined }, name: string): string {
	return message.headers?.get(name) ?? "";
}

test("a rule is put, read, listed and removed", async () => {
	const put = await cluster.put(exampleRule("video"));
	expect(put.changed).toBe(true);
	expect(put.rule?.revision).toBe(1n);
	expect(put.rule?.uid).toMatch(/^[0-9a-f-]{36}$/);
	const got = await cluster.get("video");
	expect(got.rule).toEqual(put.rule);
	expect((await cluster.list()).rules.map((rule) => rule.name)).toEqual(["video"]);
	expect((await cluster.remove("video")).revision).toBe(2n);
	expect((await cluster.list()).rules).toEqual([]);
	expect((await refusal(cluster.get("video"))).code).toBe("not_found");
	expect((await refusal(cluster.remove("video"))).code).toBe("not_found");
});

test("an identical put writes nothing; an edit keeps the uid; a new rule of the old name has another", async () => {
	const first = await cluster.put(exampleRule("video"));
	const again = await cluster.put(exampleRule("video"));
	expect([again.changed, again.rule?.revision]).toEqual([false, 1n]);
	const edited = await cluster.put(exampleRule("video", "239.1.1.2"));
	expect([edited.changed, edited.rule?.revision, edited.rule?.uid]).toEqual([
		true,
		2n,
		first.rule?.uid ?? "",
	]);
	await cluster.remove("video");
	const anew = await cluster.put(exampleRule("video"));
	expect(anew.rule?.uid).not.toBe(first.rule?.uid);
});

test("an expected revision that does not stand is a conflict that tells the one that does", async () => {
	expect((await refusal(cluster.put(exampleRule("video"), 7n))).revision).toBe(0n);
	await cluster.put(exampleRule("video"), 0n);
	const exists = await refusal(cluster.put(exampleRule("video", "239.1.1.2"), 0n));
	expect([exists.code, exists.revision]).toEqual(["conflict", 1n]);
	expect((await cluster.put(exampleRule("video", "239.1.1.2"), 1n)).rule?.revision).toBe(2n);
	const stale = await refusal(cluster.remove("video", 1n));
	expect([stale.code, stale.revision]).toEqual(["conflict", 2n]);
	expect(stale.message).toBe("rule video is at revision 2, not 1: read it again, then remove it");
	expect((await cluster.remove("video", 2n)).revision).toBe(3n);
});

test("JSON is answered in JSON, by its brace and by its content type", async () => {
	const rule = { name: "video", input: { interface: "r0", group: "239.1.1.1", port: 5001 } };
	const outputs = [{ interface: "r1", address: "239.10.1.1", port: 6001 }];
	const put = await cluster.raw(requests.rulePut, JSON.stringify({ rule: { ...rule, outputs } }));
	expect(headerOf(put, "Content-Type")).toBe("application/json");
	expect(put.json<{ changed: boolean; rule: { revision: string } }>()).toMatchObject({
		changed: true,
		warnings: [],
		rule: { name: "video", revision: "1", hosts: [] },
	});
	const list = await cluster.raw(requests.ruleList, "", "application/json");
	expect(headerOf(list, "Nats-Service-Error-Code")).toBe("400");
	const listed = await cluster.raw(requests.ruleList, " {}", "application/json; charset=utf-8");
	expect(listed.json<{ rules: unknown[] }>().rules).toHaveLength(1);
});

test("unknown fields, wrong types, malformed protobuf and wrong values get a 400 of one line", async () => {
	const cases: [string | Uint8Array, RegExp][] = [
		['{"rule":{"name":"video","colour":"red"}}', /colour/],
		['{"rule":{"name":5}}', /name/],
		['{"rule":', /JSON|Unexpected|end/i],
		[new Uint8Array([0xff, 0xff, 0xff]), /PutRuleRequest/],
		[new Uint8Array([0xa2, 0x06, 0x01, 0x00]), /100/],
		['{"rule":{"name":"video"}}', /^input: missing: give interface, group and port$/],
		["", /^rule: missing/],
	];
	for (const [payload, reason] of cases) {
		const answer = await cluster.raw(requests.rulePut, payload);
		expect(headerOf(answer, "Nats-Service-Error-Code")).toBe("400");
		expect(headerOf(answer, "Nats-Service-Error")).toMatch(reason);
		expect(answer.data).toHaveLength(0);
	}
});

test("the service is found through $SRV", async () => {
	const answer = await cluster.raw(discoverySubject("INFO", "sluice-control-api"), "");
	const info = answer.json<{ name: string; endpoints: { subject: string; queue_group: string }[] }>();
	expect(info.name).toBe("sluice-control-api");
	expect(info.endpoints.map((endpoint) => endpoint.subject)).toContain(requests.rulePut);
	expect(info.endpoints[0]?.queue_group).toBe("sluice-control-api");
});

test("a list of many rules comes in pages, in order", async () => {
	await cluster.apply({ rules: manyRules(2_500) });
	const names: string[] = [];
	const sizes: number[] = [];
	let token = "";
	do {
		const page = await cluster.list(0, token);
		sizes.push(page.rules.length);
		names.push(...page.rules.map((rule) => rule.name));
		token = page.nextPageToken;
	} while (token !== "");
	expect(sizes).toEqual([1_000, 1_000, 500]);
	expect(names).toEqual([...names].sort());
	expect(new Set(names).size).toBe(2_500);
	expect((await cluster.list(7)).rules).toHaveLength(7);
});

test("states come from the hosts' records: not applied, active, exception, unknown host", async () => {
	const interfaces = [{ name: "r0", up: true }];
	await cluster.writeHost({ host: "relay-a", interfaces, appliedSequence: 0n });
	const state = async () =>
		(await cluster.get("video")).rule?.hosts.map((host) => [host.host, host.state, host.reason]);
	await until(async () => (await cluster.raw(requests.hostList, "{}")).string().includes("relay-a"));
	await cluster.put(exampleRule("video"));
	expect(await state()).toEqual([["relay-a", RuleStatus_State.PENDING, "not applied yet"]]);
	await cluster.writeHost({ host: "relay-a", interfaces, appliedSequence: 1n });
	await until(async () => (await state())?.[0]?.[1] === RuleStatus_State.ACTIVE);
	const exceptions = [{ name: "video", state: RuleStatus_State.FAILED, reason: "no memory" }];
	await cluster.writeHost({ host: "relay-a", interfaces, appliedSequence: 1n, exceptions });
	await until(async () => (await state())?.[0]?.[2] === "no memory");
	await cluster.put(exampleRule("video", "239.1.1.1", { hosts: ["relay-z"] }));
	expect(await state()).toEqual([
		["relay-z", RuleStatus_State.PENDING, "host is not known: start sluice there, or look at its log"],
	]);
});

test("a request is as long as its subject needs, and no heavier than what is decoded in a moment", async () => {
	const code = async (subject: string, payload: string | Uint8Array) =>
		headerOf(await cluster.raw(subject, payload), "Nats-Service-Error-Code");
	const long = (bytes: number) => `{${" ".repeat(bytes)}`;
	expect(await code(requests.ruleGet, long(60_000))).toBe("400");
	expect(await code(requests.ruleGet, long(70_000))).toBe("413");
	expect(await code(requests.rulePut, long(250_000))).toBe("400");
	expect(await code(requests.rulePut, long(270_000))).toBe("413");
	expect(await code(requests.ruleApply, long(900_000))).toBe("400");
	// Empty rules, two bytes each in protobuf.
	expect(await code(requests.ruleApply, `{"rules":[${"{},".repeat(200_001)}{}]}`)).toBe("413");
	const rules = Uint8Array.from({ length: 900_000 }, (_, k) => (k % 2 === 0 ? 0x0a : 0));
	expect(await code(requests.ruleApply, rules)).toBe("413");
});
