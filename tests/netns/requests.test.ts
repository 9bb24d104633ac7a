import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { until } from "./lab/commands.ts";
import { relayOnChain } from "./lab/relay-on-chain.ts";

const { lab, relay } = await relayOnChain(["--workers", "2"]);

const RULE = {
	name: "video",
	input: { interface: "r0", group: "239.1.1.1", port: 5001 },
	outputs: [{ interface: "r1", address: "239.10.1.1", port: 6001 }],
};

test("a JSON request over NATS puts, lists and removes a rule, with the contract's codes", async () => {
	const [put, list, conflict, invalid, unknownField, malformed, missing, remove, empty] = await relay.request(
		[
			{ subject: "sluice.v1.rule.put", payload: { rule: RULE } },
			{ subject: "sluice.v1.rule.list", payload: {} },
			{ subject: "sluice.v1.rule.put", payload: { rule: { ...RULE, name: "other" } } },
			{ subject: "sluice.v1.rule.put", payload: { rule: { ...RULE, outputs: [] } } },
			{ subject: "sluice.v1.rule.put", payload: { rule: { ...RULE, colour: "red" } } },
			{ subject: "sluice.v1.rule.put", payload: '{"rule":' },
			{ subject: "sluice.v1.rule.get", payload: { name: "nobody" } },
			{ subject: "sluice.v1.rule.remove", payload: { name: "video" } },
			{ subject: "sluice.v1.rule.list", payload: {} },
		],
	);
	expect(put?.code).toBeNull();
	expect(JSON.parse(put?.payload ?? "").rule).toMatchObject({ name: "video" });
	expect(JSON.parse(list?.payload ?? "").rules).toHaveLength(1);
	expect(conflict?.code).toBe("409");
	expect(conflict?.error).toContain("video");
	for (const answer of [invalid, unknownField, malformed]) expect(answer?.code).toBe("400");
	expect(missing?.code).toBe("404");
	expect(remove?.code).toBeNull();
	expect(JSON.parse(empty?.payload ?? "").rules).toEqual([]);
});

test("HTTP does the same", async () => {
	const token = readFileSync(`${relay.dataDir}/http-token`, "utf8").trim();
	const script = `
		const base = "http://127.0.0.1:7080";
		const ask = async (method, path, body, headers = {}) => {
			const answer = await fetch(base + path, { method, body: body && JSON.stringify(body), headers });
			return { status: answer.status, etag: answer.headers.get("etag"), body: await answer.text() };
		};
		const auth = { Authorization: "Bearer " + (await Bun.stdin.text()) };
		const rule = ${JSON.stringify(RULE)};
		console.log(JSON.stringify({
			noToken: await ask("PUT", "/v1/rules/video", rule),
			put: await ask("PUT", "/v1/rules/video", rule, auth),
			list: await ask("GET", "/v1/rules"),
			invalid: await ask("PUT", "/v1/rules/bad", { ...rule, name: "bad", outputs: [] }, auth),
			conflict: await ask("PUT", "/v1/rules/other", { ...rule, name: "other" }, auth),
			stale: await ask("PUT", "/v1/rules/video", { ...rule, outputs: [{ ...rule.outputs[0], ttl: 3 }] }, { ...auth, "If-Match": '"1"'  }),
			missing: await ask("GET", "/v1/rules/nobody"),
			rebound: await ask("GET", "/v1/rules", undefined, { Host: "evil.example" }),
			metrics: await ask("GET", "/metrics"),
			openapi: await ask("GET", "/openapi.json"),
			remove: await ask("DELETE", "/v1/rules/video", undefined, auth),
			gone: await ask("GET", "/v1/rules/video"),
		}));`;
	const bun = `${import.meta.dir}/../../.tools/bin/bun`;
	const answers = JSON.parse(await lab.relay.must([bun, "-e", script], { input: token }));
	expect(answers.noToken.status).toBe(401);
	expect(answers.put.status).toBeLessThan(300);
	expect(answers.put.etag).toMatch(/^"\d+"$/);
	expect(JSON.parse(answers.list.body).rules).toHaveLength(1);
	expect(answers.invalid.status).toBe(400);
	expect(answers.conflict.status).toBe(409);
	expect(answers.stale.status).toBe(409);
	expect(answers.missing.status).toBe(404);
	expect(answers.rebound.status).toBe(403);
	expect(answers.metrics.body).toContain("sluice_");
	expect(JSON.parse(answers.openapi.body).openapi).toMatch(/^3\.1/);
	expect(answers.remove.status).toBeLessThan(300);
	expect(answers.gone.status).toBe(404);
});

interface Line {
	level: string;
	service: string;
	facility?: string;
	core?: number;
	host?: string;
	time: number;
}

function linesSince(mark: number): Line[] {
	return relay.log
		.slice(mark)
		.split("\n")
		.slice(0, -1)
		.filter((line) => line.startsWith("{"))
		.map((line) => JSON.parse(line) as Line);
}

test("a level changed at run time shows in the next lines of every process, workers included", async () => {
	const services = ["control-api", "stats-aggregator", "supervisor", "worker"];
	const debugBefore = linesSince(0).filter(
		(line) => line.level === "debug" && services.includes(line.service),
	);
	expect(debugBefore).toEqual([]);

	await relay.sluice("log", "level", "debug");
	const mark = relay.log.length;
	await relay.sluice("rule", "add", "video", "--in", "r0:239.1.1.1:5001", "--out", "r1:239.10.1.1:6001");
	await relay.sluice("stats");
	// The new level is on its way to each of them, and workers have something to say when rules change.
	const outputs = [6002, 6001];
	await until("every process has said something at level debug", async () => {
		const out = `r1:239.10.1.1:${outputs.reverse()[0]}`;
		await relay.sluice("rule", "set", "video", "--in", "r0:239.1.1.1:5001", "--out", out);
		await relay.sluice("stats");
		const lines = linesSince(mark).filter((line) => line.level === "debug");
		const cores = new Set(lines.filter((line) => line.service === "worker").map((line) => line.core));
		return services.every((service) => lines.some((line) => line.service === service)) && cores.size === 2
			? true
			: undefined;
	});
	for (const line of linesSince(mark)) expect(line.host).toBe("relay-a");

	await relay.sluice("log", "level", "info");
	await until("nobody speaks at level debug any more", async () => {
		const quiet = relay.log.length;
		await relay.sluice("stats");
		await relay.sluice("rule", "list");
		// Whatever workers and aggregator say each second they have said by then.
		await relay.publications(2);
		return linesSince(quiet).every((line) => line.level !== "debug") ? true : undefined;
	});
});

test("one facility of one service can be raised alone", async () => {
	await relay.sluice("log", "level", "--service", "worker", "--facility", "counters", "trace");
	const mark = relay.log.length;
	const first = await until("a worker's counters facility speaks at level trace", () =>
		linesSince(mark).find((line) => line.level === "trace" && line.service === "worker"),
	);
	expect(first.facility).toBe("counters");
	const strangers = linesSince(mark).filter(
		(line) => ["debug", "trace"].includes(line.level) && line.facility !== "counters",
	);
	expect(strangers).toEqual([]);
	await relay.sluice("log", "level", "--service", "worker", "--facility", "counters", "info");
});
