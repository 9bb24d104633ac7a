import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { until } from "@sluice/lib/testing/until";
import { exampleRule } from "../testing/cluster.ts";
import { expectError, HttpLab } from "../testing/http-lab.ts";

let lab: HttpLab;
beforeAll(async () => {
	lab = await HttpLab.start();
});
afterAll(() => lab.stop());
beforeEach(() => lab.removeAllRules());

/** Reads events until the text holds what is wanted. */
async function eventsUntil(response: Response, wanted: RegExp, act: () => Promise<unknown>): Promise<string> {
	const reader = response.body?.getReader();
	let text = "";
	let acted = false;
	const decoder = new TextDecoder();
	while (reader !== undefined) {
		const { value, done } = await reader.read();
		if (done) break;
		text += decoder.decode(value, { stream: true });
		if (!acted) {
			acted = true;
			await act();
		}
		if (wanted.test(text)) break;
	}
	await reader?.cancel();
	return text;
}

test("changes of rules and hosts are told as events, with heartbeats between", async () => {
	const rules = await lab.request("/v1/events");
	expect(rules.headers.get("content-type")).toBe("text/event-stream");
	const text = await eventsUntil(rules, /"removed":true[\s\S]*: still here/, async () => {
		await lab.request("/v1/rules/video", { method: "PUT", body: exampleRule("video") });
		await lab.request("/v1/rules/video", { method: "DELETE" });
	});
	expect(text).toMatch(/^event: ready\nid: [0-9]+\ndata: \{"revision":"[0-9]+"\}\n\n/);
	expect(text).toMatch(
		/event: rule\nid: [0-9]+\ndata: \{"name":"video","uid":"[0-9a-f-]{36}","revision":"[0-9]+","removed":false\}\n\n/,
	);
	const gone = await eventsUntil(
		await lab.request("/v1/events"),
		/"host":"relay-b","gone":true,"stopped":false/,
		() => lab.cluster.writeHost({ host: "relay-b", appliedSequence: 3n }),
	);
	expect(gone).toContain('event: host\ndata: {"host":"relay-b","gone":false,"appliedSequence":"3"}\n\n');
	await lab.cluster.writeHost({ host: "relay-c" });
	await until(() => lab.api.hosts.snapshot.entries.has("relay-c"));
	const stopped = await eventsUntil(await lab.request("/v1/events"), /"host":"relay-c","gone":true/, () =>
		lab.cluster.writeHost({ host: "relay-c", stopped: true }),
	);
	expect(stopped).toContain('event: host\ndata: {"host":"relay-c","gone":true,"stopped":true}\n\n');
	const forgotten = await eventsUntil(await lab.request("/v1/events"), /"forgotten"/, () =>
		lab.request("/v1/hosts/relay-c", { method: "DELETE" }),
	);
	expect(forgotten).toContain(
		'event: host\ndata: {"host":"relay-c","gone":true,"stopped":true,"forgotten":true}\n\n',
	);
}, 60_000);

test("only so many listen; one that leaves makes room", async () => {
	const first = await lab.request("/v1/events");
	const second = await lab.request("/v1/events");
	await expectError(await lab.request("/v1/events"), 503, /^2 clients listen already/);
	await first.body?.cancel();
	await until(async () => {
		const third = await lab.request("/v1/events");
		await third.body?.cancel();
		return third.status === 200;
	});
	await second.body?.cancel();
});
