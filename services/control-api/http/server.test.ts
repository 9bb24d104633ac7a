import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import type { Msg } from "@nats-io/transport-node";
import { SluiceError } from "@sluice/lib/errors";
import { endpoint, serve } from "@sluice/lib/service";
import { until } from "@sluice/lib/testing/until";
import { ApplyRequestSchema } from "@sluice/proto/gen/rule";
import { GetStatsRequestSchema, GetStatsResponseSchema } from "@sluice/proto/gen/stats";
import {
	RestartWorkerRequestSchema,
	RestartWorkerResponseSchema,
	Worker_State,
} from "@sluice/proto/gen/worker";
import { hostRestartSubject, requests } from "@sluice/proto/subjects";
import type { z } from "zod";
import type { RunningControlApi } from "../control-api.ts";
import { exampleRule, manyRules, quietLogger, TestCluster } from "../testing/cluster.ts";
import * as schemas from "./schemas.ts";
import { BODY_LIMIT_BYTES, type HttpServer, startHttp } from "./server.ts";

const TOKEN = "a-token-of-the-tests";

let cluster: TestCluster;
let api: RunningControlApi;
let http: HttpServer;
beforeAll(async () => {
	cluster = await TestCluster.start();
	api = await cluster.startApi();
	const config = { httpAddress: "127.0.0.1", httpPort: 0, httpToken: TOKEN, httpHosts: ["relay.example"] };
	http = startHttp(await cluster.server.connect(), api, config, quietLogger(), {
		clients: 2,
		backlog: 100,
		heartbeatMs: 50,
	});
});
afterAll(async () => {
	await http.stop();
	await cluster.stop();
});
beforeEach(async () => {
	await api.rules.apply({ rules: [], prune: true, dryRun: false });
});

interface Call {
	readonly method?: string;
	readonly body?: unknown;
	readonly headers?: Record<string, string>;
	readonly token?: string | undefined;
}

function request(
	path: string,
	{ method = "GET", body, headers = {}, token = TOKEN }: Call = {},
): Promise<Response> {
	const authorization: Record<string, string> = token === "" ? {} : { authorization: `Bearer ${token}` };
	return fetch(`${http.url}${path}`, {
		method,
		headers: { ...authorization, ...headers },
		...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
	});
}

async function expectError(response: Response, status: number, reason: RegExp): Promise<void> {
	const body = schemas.errorBody.parse(await response.json());
	expect(body.error.message).toMatch(reason);
	expect([response.status, body.error.status]).toEqual([status, status]);
}

/** The documented shape holds for what is really answered. */
async function read<Schema extends z.ZodType>(response: Response, schema: Schema): Promise<z.output<Schema>> {
	expect(response.status).toBe(200);
	expect(response.headers.get("content-type")).toBe("application/json");
	return schema.parse(await response.json());
}

test("a rule is put, read, listed and removed", async () => {
	const { name: _, ...nameless } = exampleRule("video");
	const put = await request("/v1/rules/video", { method: "PUT", body: nameless });
	const { rule, changed } = await read(put, schemas.putRuleResponse);
	expect(changed).toBe(true);
	expect(put.headers.get("etag")).toBe(`"${rule.revision}"`);
	const got = await read(await request("/v1/rules/video"), schemas.getRuleResponse);
	expect(got.rule).toEqual(rule);
	expect((await read(await request("/v1/rules"), schemas.listRulesResponse)).rules).toEqual([rule]);
	const removed = await read(
		await request("/v1/rules/video", { method: "DELETE" }),
		schemas.removeRuleResponse,
	);
	expect(removed.name).toBe("video");
	await expectError(await request("/v1/rules/video"), 404, /^rule video does not exist/);
	await expectError(await request("/v1/rules/video", { method: "DELETE" }), 404, /does not exist/);
});

test("preconditions: If-Match, If-None-Match, and 304 for what a reader has", async () => {
	const put = (group: string, headers: Record<string, string>) =>
		request("/v1/rules/video", { method: "PUT", body: exampleRule("video", group), headers });
	await expectError(
		await put("239.1.1.1", { "if-match": '"7"' }),
		409,
		/does not exist, revision 7 was expected/,
	);
	await expectError(await put("239.1.1.1", { "if-match": "*" }), 404, /does not exist/);
	const etag = (await put("239.1.1.1", { "if-none-match": "*" })).headers.get("etag") ?? "";
	const again = await put("239.1.1.2", { "if-none-match": "*" });
	expect(schemas.errorBody.parse(await again.json()).error).toMatchObject({
		code: "conflict",
		revision: etag.replaceAll('"', ""),
	});
	await expectError(
		await put("239.1.1.2", { "if-match": '"1", "2"' }),
		400,
		/^If-Match: .* is not one revision/,
	);
	await expectError(await put("239.1.1.2", { "if-none-match": etag }), 400, /^If-None-Match/);
	expect((await request("/v1/rules/video", { headers: { "if-none-match": etag } })).status).toBe(304);
	expect((await put("239.1.1.2", { "if-match": etag })).status).toBe(200);
	expect((await request("/v1/rules/video", { headers: { "if-none-match": etag } })).status).toBe(200);
	const stale = await request("/v1/rules/video", { method: "DELETE", headers: { "if-match": etag } });
	await expectError(stale, 409, /read it again/);
	expect((await request("/v1/rules/video", { method: "DELETE", headers: { "if-match": "*" } })).status).toBe(
		200,
	);
});

test("wrong bodies get a 400 with the path of the field", async () => {
	const put = (body: unknown) => request("/v1/rules/video", { method: "PUT", body });
	const rule = exampleRule("video");
	const output = { interface: "r1", address: "239.10.1.1", port: 6001 };
	await expectError(await put("{"), 400, /^the body is not JSON/);
	await expectError(await put({ ...rule, colour: "red" }), 400, /colour/);
	await expectError(
		await put({ ...rule, outputs: [{ ...output, speed: 1 }] }),
		400,
		/^outputs\[0\]: .*speed/,
	);
	await expectError(
		await put({ ...rule, outputs: [{ ...output, ttl: 0 }] }),
		400,
		/^outputs\[0\]\.ttl: 0 is not 1 to 255$/,
	);
	await expectError(
		await put({ ...rule, outputs: [{ ...output, ttl: "9" }] }),
		400,
		/^outputs\[0\]\.ttl: "9" is not a whole/,
	);
	await expectError(
		await put({ ...rule, outputs: [{ ...output, port: 1.5 }] }),
		400,
		/^outputs\[0\]\.port: 1\.5 is not a whole/,
	);
	await expectError(await put({ ...rule, outputs: [] }), 400, /^outputs: missing/);
	await expectError(await put({ ...rule, name: "other" }), 400, /^name: "other" is not video/);
	await expectError(await put([]), 400, /object/);
	await expectError(
		await request("/v1/rules/Bad", { method: "PUT", body: { ...rule, name: undefined } }),
		400,
		/^name: "Bad"/,
	);
	await expectError(await request("/v1/rules?colour=red"), 400, /colour/);
	await expectError(await request("/v1/rules?pageSize=x"), 400, /^pageSize: is not a number/);
});

test("a conflict is a 409 that names the other", async () => {
	await request("/v1/rules/a", { method: "PUT", body: exampleRule("a") });
	await expectError(
		await request("/v1/rules/b", { method: "PUT", body: exampleRule("b") }),
		409,
		/is taken by rule a/,
	);
});

test("apply: dry run by query, prune, and nothing written when one rule is wrong", async () => {
	const apply = (query: string, rules: unknown[]) =>
		request(`/v1/apply${query}`, { method: "POST", body: { rules } });
	const dry = await read(await apply("?dryRun", [exampleRule("a")]), schemas.applyResponse);
	expect([dry.added, dry.changes[0]?.action, dry.changes[0]?.revision]).toEqual([1, "ADDED", "0"]);
	expect((await read(await apply("", manyRules(20)), schemas.applyResponse)).added).toBe(20);
	await expectError(
		await apply("?prune=true", [exampleRule("a"), exampleRule("b")]),
		409,
		/^rules\[1\] \(b\): input:/,
	);
	const pruned = await read(await apply("?prune=1", [exampleRule("a")]), schemas.applyResponse);
	expect([pruned.added, pruned.removed]).toEqual([1, 20]);
	await expectError(await apply("?prune=maybe", []), 400, /^prune: is neither true nor false/);
	const page = await read(await request("/v1/rules?pageSize=1"), schemas.listRulesResponse);
	expect(page.nextPageToken).toBe("");
});

test("writing needs the token also on the loopback; reading there does not", async () => {
	const body = exampleRule("video");
	const put = await request("/v1/rules/video", { method: "PUT", body, token: "" });
	expect(put.headers.get("www-authenticate")).toBe("Bearer");
	await expectError(put, 401, /^writing needs the token/);
	await expectError(await request("/v1/rules/video", { method: "PUT", body, token: "wrong" }), 401, /token/);
	await expectError(await request("/v1/rules/video", { method: "DELETE", token: "" }), 401, /token/);
	await expectError(
		await request("/v1/apply", { method: "POST", body: { rules: [] }, token: "" }),
		401,
		/token/,
	);
	for (const path of [
		"/v1/rules",
		"/v1/hosts",
		"/v1/workers",
		"/metrics",
		"/openapi.json",
		"/healthz",
		"/readyz",
	]) {
		expect((await request(path, { token: "" })).status).toBe(200);
	}
});

test("a strange Host header is refused, the loopback's names and configured ones are not", async () => {
	const status = async (host: string) => (await request("/v1/rules", { headers: { host } })).status;
	await expectError(
		await request("/v1/rules", { headers: { host: "evil.example" } }),
		403,
		/^Host "evil.example"/,
	);
	expect(await status("evil.example:7080")).toBe(403);
	expect(await status("192.0.2.1")).toBe(403);
	expect(await status("localhost")).toBe(200);
	expect(await status("LOCALHOST:7080")).toBe(200);
	expect(await status("[::1]:7080")).toBe(200);
	expect(await status("relay.example")).toBe(200);
});

/** Status and message of a request written byte for byte. */
async function rawRequest(text: string): Promise<[number, string]> {
	const { hostname, port } = new URL(http.url);
	let answer = "";
	const ended = Promise.withResolvers<void>();
	await Bun.connect({
		hostname,
		port: Number(port),
		socket: {
			open: (socket) => void socket.write(text),
			data: (socket, chunk) => {
				answer += chunk.toString();
				// Our answers are JSON in one object.
				if (answer.endsWith("}")) socket.end();
			},
			close: () => ended.resolve(),
		},
	});
	await ended.promise;
	const body = answer.slice(answer.indexOf("\r\n\r\n") + 4);
	return [Number(answer.split(" ", 2)[1]), body.startsWith("{") ? JSON.parse(body).error?.message : body];
}

test("a Host that is empty, missing or tricky is refused in our words", async () => {
	const cases: [string, number, RegExp][] = [
		["GET /v1/rules HTTP/1.1\r\nHost: \r\nConnection: close\r\n\r\n", 403, /^Host "" is not served/],
		[
			"GET /v1/rules HTTP/1.1\r\nHost: 127.0.0.1@evil.com\r\nConnection: close\r\n\r\n",
			403,
			/^Host "127.0.0.1@evil.com"/,
		],
		["GET /v1/rules HTTP/1.0\r\n\r\n", 403, /^Host "" is not served/],
		[
			"GET http://localhost/v1/rules HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
			403,
			/^Host "evil.example"/,
		],
	];
	for (const [text, status, message] of cases) {
		const [answered, said] = await rawRequest(text);
		expect(said).toMatch(message);
		expect(answered).toBe(status);
	}
});

test("a browser that takes us for a proxy of a stranger's name is refused, however it writes the target", async () => {
	// Both name the stranger: a client must copy the target's authority into Host (RFC 9112, 3.2.2).
	for (const target of [
		"http://evil.example/v1/rules",
		"http://evil.example:7080/v1/rules",
		"HTTP://EVIL.example",
	]) {
		const hosts = ["Host: evil.example", "Host: evil.example:7080", "Host: localhost\r\nHost: evil.example"];
		for (const host of [...hosts, "Host: evil.example\r\nHost: localhost", "X-No: host"]) {
			for (const method of ["GET", "DELETE"]) {
				const [status] = await rawRequest(
					`${method} ${target} HTTP/1.1\r\n${host}\r\nConnection: close\r\n\r\n`,
				);
				expect([400, 403]).toContain(status);
			}
		}
	}
});

test("the name in an absolute target has no weight: neither for what is allowed, nor in an answer", async () => {
	const ask = (target: string, host: string) =>
		rawRequest(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
	expect((await ask("http://localhost/v1/rules", "evil.example"))[0]).toBe(403);
	const [status, said] = await ask("http://evil.example/v2/rules", "localhost");
	expect([status, said]).toEqual([404, "/v2/rules is not here: /openapi.json lists what is"]);
	for (const target of ["//evil.example/v1/rules", "http://localhost@evil.example//v1/rules"]) {
		expect((await ask(target, "localhost"))[0]).toBe(404);
	}
});

test("a key that stands twice is refused, and a wrong shape says where the right one is", async () => {
	const put = (body: string) => request("/v1/rules/video", { method: "PUT", body });
	await expectError(
		await request("/v1/apply", { method: "POST", body: '{"rules":[],"rules":[]}' }),
		400,
		/^the body: line 1: rules stands twice/,
	);
	await expectError(await put('{"input":7,"outputs":[]}'), 400, /^input: .*: see \/openapi\.json$/);
});

test("unknown paths are 404, wrong methods 405 with Allow, HEAD is GET without a body", async () => {
	await expectError(await request("/v2/rules"), 404, /^\/v2\/rules is not here/);
	await expectError(await request("/v1/rules/a/b"), 404, /is not here/);
	const post = await request("/v1/rules", { method: "POST", body: {} });
	expect(post.headers.get("allow")).toBe("GET, HEAD");
	expect([post.status, schemas.errorBody.parse(await post.json()).error.code]).toEqual([
		405,
		"method_not_allowed",
	]);
	const patch = await request("/v1/rules/video", { method: "PATCH" });
	expect(patch.headers.get("allow")).toBe("GET, PUT, DELETE, HEAD");
	const head = await request("/v1/rules", { method: "HEAD" });
	expect([head.status, await head.text()]).toEqual([200, ""]);
	expect((await request("/openapi.json", { method: "POST" })).status).toBe(405);
});

test("a body over the limit is a 413", async () => {
	const body = " ".repeat(BODY_LIMIT_BYTES + 1);
	await expectError(await request("/v1/apply", { method: "POST", body }), 413, /^the body is over/);
	const larger = await request("/v1/apply", { method: "POST", body: " ".repeat(BODY_LIMIT_BYTES * 2) });
	expect(larger.status).toBe(413);
	const chunked = await fetch(`${http.url}/v1/apply`, {
		method: "POST",
		headers: { authorization: `Bearer ${TOKEN}` },
		body: new ReadableStream({
			start(controller) {
				for (let k = 0; k < 5; k += 1) controller.enqueue(new Uint8Array(1024 * 1024).fill(32));
				controller.close();
			},
		}),
	});
	expect(chunked.status).toBe(413);
});

test("a body of hundreds of thousands of values is a 413 before it is parsed", async () => {
	const body = `{"rules":[${"{},".repeat(200_001)}{}]}`;
	await expectError(await request("/v1/apply", { method: "POST", body }), 413, /send less at once$/);
});

test("more requests at one time than are taken are a 503, the others are answered", async () => {
	const asked: Msg[] = [];
	const aggregator = cluster.nc.subscribe(requests.statsGet, {
		callback: (_, message) => void asked.push(message),
	});
	await cluster.nc.flush();
	const stats = "GET /v1/stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	const answers = Array.from({ length: 300 }, () => rawRequest(stats));
	await until(() => asked.length === 256);
	const refused = await Promise.race(answers);
	expect(refused).toEqual([503, "256 requests are under way: try again"]);
	for (const message of asked) message.respond();
	const statuses = (await Promise.all(answers)).map(([status]) => status);
	expect(statuses.filter((status) => status === 200)).toHaveLength(256);
	expect(statuses.filter((status) => status === 503)).toHaveLength(44);
	aggregator.unsubscribe();
});

test("statistics come from an aggregator over NATS, in one answer or in pages; without one it is a 503", async () => {
	await expectError(await request("/v1/stats"), 503, /^nobody answers sluice\.v1\.stats\.get/);
	const metricsAlone = await (await request("/metrics")).text();
	expect(metricsAlone).toContain("sluice_stats_available 0");
	const pages = ["a", "b", "c"];
	const aggregator = await serve(cluster.nc, {
		name: "aggregator",
		version: "0.0.0",
		endpoints: [
			endpoint({
				name: "stats-get",
				subject: requests.statsGet,
				request: GetStatsRequestSchema,
				response: GetStatsResponseSchema,
				handle: ({ pageToken }) => {
					const k = pageToken === "" ? 0 : Number(pageToken);
					const output = {
						interface: "r1",
						address: "239.10.1.1",
						port: 6001,
						sentPackets: 10n,
						eligiblePackets: 15n,
						failedPackets: 5n,
						failedByReason: { QUEUE_FULL: 3n, UNUSABLE: 2n },
						unreachableAnswers: 4n,
					};
					const rule = {
						name: pages[k] ?? "",
						receivedPackets: 12n,
						forwardedPackets: 10n,
						droppedPackets: { NO_OUTPUT: 2n },
					};
					return create(GetStatsResponseSchema, {
						rules: [{ ...rule, outputs: [output] }],
						interfaces:
							k === 0 ? [{ host: "h", interface: "r0", capturedFrames: 12n, kernelDroppedFrames: 1n }] : [],
						nextPageToken: k < 2 ? String(k + 1) : "",
					});
				},
			}),
		],
	});
	const whole = await read(await request("/v1/stats"), schemas.getStatsResponse);
	expect(whole.rules.map((rule) => rule.name)).toEqual(pages);
	expect(whole.interfaces).toHaveLength(1);
	const page = await read(await request("/v1/stats?pageSize=1&pageToken=1"), schemas.getStatsResponse);
	expect([page.rules[0]?.name, page.nextPageToken]).toEqual(["b", "2"]);
	const metrics = await request("/metrics");
	expect(metrics.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
	const lines = (await metrics.text()).split("\n");
	expect(lines).toContain('sluice_rule_received_packets_total{rule="a"} 12');
	expect(lines).toContain('sluice_rule_dropped_packets_total{rule="b",reason="NO_OUTPUT"} 2');
	expect(lines).toContain(
		'sluice_output_sent_packets_total{rule="c",interface="r1",address="239.10.1.1",port="6001"} 10',
	);
	for (const [name, reason, value] of [
		["failed_packets", "", 5],
		["failed_by_reason_packets", ',reason="QUEUE_FULL"', 3],
		["failed_by_reason_packets", ',reason="UNUSABLE"', 2],
		["unreachable_answers", "", 4],
	]) {
		const labels = `rule="c",interface="r1",address="239.10.1.1",port="6001"${reason}`;
		expect(lines).toContain(`sluice_output_${name}_total{${labels}} ${value}`);
	}
	expect(lines).toContain('sluice_interface_kernel_dropped_frames_total{host="h",interface="r0"} 1');
	expect(lines).toContain("sluice_stats_available 1");
	// Scraped again, absolute values stay what they are.
	expect((await (await request("/metrics")).text()).split("\n")).toContain(
		'sluice_rule_received_packets_total{rule="a"} 12',
	);
	await aggregator.stop();
});

test("hosts and workers are listed; those of a host that is gone are not", async () => {
	const worker = { host: "relay-a", worker: 0, core: 1, pid: 42, state: 1, restarts: 2 };
	await cluster.writeHost({ host: "relay-a", interfaces: [{ name: "r0", up: true }], workers: [worker] });
	await until(() => api.hosts.snapshot.entries.has("relay-a"));
	const { hosts } = await read(await request("/v1/hosts"), schemas.listHostsResponse);
	expect([hosts[0]?.host, hosts[0]?.interfaces[0]?.name]).toEqual(["relay-a", "r0"]);
	expect(hosts[0]?.lastSeenSeconds).toBeLessThan(2);
	const { workers } = await read(await request("/v1/workers"), schemas.listWorkersResponse);
	expect([workers[0]?.pid, workers[0]?.state, workers[0]?.restarts]).toEqual([42, "RUNNING", 2]);
	const listed = async () => (await read(await request("/v1/workers"), schemas.listWorkersResponse)).workers;
	await until(async () => (await listed()).length === 0);
	expect((await read(await request("/v1/hosts"), schemas.listHostsResponse)).hosts).toHaveLength(1);
}, 20_000);

test("a worker is restarted by its host's supervisor, whose refusal is passed on", async () => {
	const restart = (host: string, worker: string, token = TOKEN) =>
		request(`/v1/hosts/${host}/workers/${worker}/restart`, { method: "POST", token });
	await cluster.writeHost({ host: "relay-b" });
	await until(() => api.hosts.snapshot.entries.has("relay-b"));
	await expectError(await restart("relay-b", "0"), 504, /^host relay-b did not answer: /);
	const nc = await cluster.server.connect();
	const supervisor = await serve(nc, {
		name: "supervisor",
		version: "1.0.0",
		endpoints: [
			endpoint({
				name: "restart",
				subject: hostRestartSubject("relay-b"),
				request: RestartWorkerRequestSchema,
				response: RestartWorkerResponseSchema,
				handle: ({ host, worker }) => {
					if (worker > 1) throw new SluiceError("conflict", "worker 0 of relay-b is BACKOFF: try again");
					const successor = { host, worker, pid: 43, state: Worker_State.RUNNING };
					return create(RestartWorkerResponseSchema, { worker: successor, formerPid: 42, tookMs: 7 });
				},
			}),
		],
	});
	const { worker, formerPid } = await read(await restart("relay-b", "1"), schemas.restartWorkerResponse);
	expect([worker.worker, worker.pid, worker.state, formerPid]).toEqual([1, 43, "RUNNING", 42]);
	await expectError(await restart("relay-b", "2"), 409, /^worker 0 of relay-b is BACKOFF: try again$/);
	await expectError(await restart("relay-b", "x"), 400, /^worker: "x" is not the number of a worker$/);
	await expectError(await restart("relay-z", "0"), 404, /^there is no host "relay-z": see sluice host list$/);
	await expectError(await restart("*", "0"), 404, /^there is no host/);
	await expectError(await restart("relay-b", "1", ""), 401, /token/);
	await supervisor.stop();
	await nc.close();
});

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
	const rules = await request("/v1/events");
	expect(rules.headers.get("content-type")).toBe("text/event-stream");
	const text = await eventsUntil(rules, /"removed":true[\s\S]*: still here/, async () => {
		await request("/v1/rules/video", { method: "PUT", body: exampleRule("video") });
		await request("/v1/rules/video", { method: "DELETE" });
	});
	expect(text).toMatch(/^event: ready\nid: [0-9]+\ndata: \{"revision":"[0-9]+"\}\n\n/);
	expect(text).toMatch(
		/event: rule\nid: [0-9]+\ndata: \{"name":"video","uid":"[0-9a-f-]{36}","revision":"[0-9]+","removed":false\}\n\n/,
	);
	const gone = await eventsUntil(await request("/v1/events"), /"host":"relay-b","gone":true/, () =>
		cluster.writeHost({ host: "relay-b", appliedSequence: 3n }),
	);
	expect(gone).toContain('event: host\ndata: {"host":"relay-b","gone":false,"appliedSequence":"3"}\n\n');
}, 20_000);

test("only so many listen; one that leaves makes room", async () => {
	const first = await request("/v1/events");
	const second = await request("/v1/events");
	await expectError(await request("/v1/events"), 503, /^2 clients listen already/);
	await first.body?.cancel();
	await until(async () => {
		const third = await request("/v1/events");
		await third.body?.cancel();
		return third.status === 200;
	});
	await second.body?.cancel();
});

test("the port being taken is said in one line", () => {
	const httpPort = Number(new URL(http.url).port);
	const config = { httpAddress: "127.0.0.1", httpPort, httpToken: TOKEN, httpHosts: [] };
	expect(() => startHttp(cluster.nc, api, config, quietLogger())).toThrow(
		`HTTP cannot listen on 127.0.0.1:${httpPort}`,
	);
});

test("4 MB hold 10,000 rules", async () => {
	const body = JSON.stringify({ rules: manyRules(10_000) });
	expect(body.length).toBeLessThan(BODY_LIMIT_BYTES);
	const applied = await read(await request("/v1/apply", { method: "POST", body }), schemas.applyResponse);
	expect(applied.added).toBe(10_000);
	expect(create(ApplyRequestSchema, { rules: manyRules(1) }).rules).toHaveLength(1);
}, 30_000);
