import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { buckets, discoverySubject, kvSubject } from "@sluice/proto/subjects";
import { childrenOf } from "../e2e/up-processes.ts";
import { until } from "./lab/commands.ts";
import type { Conversation, Utterance } from "./lab/hostile-http.ts";
import type { Assault, Attempt } from "./lab/hostile-nats.ts";
import { relayOnChain } from "./lab/relay-on-chain.ts";
import { faults, gen, NO_FAULTS, recv } from "./lab/traffic.ts";

const BUN = `${import.meta.dir}/../../.tools/bin/bun`;
const SERVICES = ["nats-server", "control-api", "stats-aggregator"];
const MIB = 1024 * 1024;
/** Of each service, at its worst; empty they take 20 to 70 MiB. */
const MEMORY_LIMIT_MIB = 400;

const { lab, relay } = await relayOnChain(["--workers", "1"], async ({ relay }) => {
	await relay.sluice("rule", "add", "video", "--in", "r0:239.1.1.1:5001", "--out", "r1:239.10.1.1:6001");
	await relay.sluice("rule", "add", "audio", "--in", "r0:239.1.1.2:5001", "--out", "r1:239.10.1.2:6001");
});

const token = readFileSync(`${relay.dataDir}/http-token`, "utf8").trim();
const pids = servicePids();
const operator = JSON.parse(readFileSync(`${relay.dataDir}/credentials/operator.json`, "utf8"));
const stranger = { ...operator, seed: "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY" };
writeFileSync(`${relay.dataDir}/credentials/stranger.json`, JSON.stringify(stranger));

function servicePids(): number[] {
	const children = childrenOf(relay.pid);
	return SERVICES.map((name) => children.get(name) ?? 0);
}

/** After whatever a test did: the same processes, within their memory, and the same rules, which forward. */
async function expectUnharmed(): Promise<void> {
	expect(servicePids()).toEqual(pids);
	for (const pid of pids) {
		const peak = Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
		expect(peak / 1024).toBeLessThan(MEMORY_LIMIT_MIB);
	}
	const states = (await relay.rules())
		.filter(({ name }) => !name.startsWith("flood-"))
		.map(({ name, hosts }) => [name, hosts[0]?.state]);
	expect(states).toEqual([
		["audio", "ACTIVE"],
		["video", "ACTIVE"],
	]);
	for (const stream of [1, 2]) {
		const receiver = await recv(lab.dst, { in: `d0:239.10.1.${stream}:6001`, expect: 200 });
		await gen(lab.src, { to: `s0:239.1.1.${stream}:5001`, rate: 2_000, count: 200 });
		expect(faults(await receiver.report())).toEqual(NO_FAULTS);
	}
}

type Payload = string | Uint8Array;
const base64 = (payload: Payload) => Buffer.from(payload).toString("base64");

async function nats(...assaults: (Omit<Assault, "payload"> & { payload: Payload })[]): Promise<Attempt[]> {
	const lines = assaults.map((each) => `${JSON.stringify({ ...each, payload: base64(each.payload) })}\n`);
	const argv = [BUN, `${import.meta.dir}/lab/hostile-nats.ts`, `${relay.dataDir}/credentials`];
	const text = await lab.relay.must(argv, { input: lines.join(""), timeoutMs: 100_000 });
	return text
		.trim()
		.split("\n")
		.map((line) => JSON.parse(line) as Attempt);
}

async function http(...utterances: Utterance[]): Promise<Conversation[]> {
	const input = utterances.map((each) => `${JSON.stringify(each)}\n`).join("");
	const argv = [BUN, `${import.meta.dir}/lab/hostile-http.ts`];
	const text = await lab.relay.must(argv, { input, timeoutMs: 100_000 });
	return text
		.trim()
		.split("\n")
		.map((line) => JSON.parse(line) as Conversation);
}

const input = { interface: "r0", group: "239.9.9.9", port: 5001 };
const outputs = [{ interface: "r1", address: "239.10.9.9", port: 6001 }];
const rule = { name: "evil", input, outputs };
const put = (more: object) => JSON.stringify({ rule: { ...rule, ...more } });
/** Two bytes each: field 1 (rules) of length 0. */
const emptyRules = Uint8Array.from({ length: 3_900_000 }, (_, k) => (k % 2 === 0 ? 0x0a : 0));

const PUT = "sluice.v1.rule.put";
const APPLY = "sluice.v1.rule.apply";
const overNats: [what: string, subject: string, payload: Payload, code: string, says: RegExp][] = [
	["protobuf that ends too soon", PUT, Uint8Array.of(0x0a, 0xff, 0xff), "400", /^the request is not a Put/],
	["protobuf of unknown fields", PUT, Uint8Array.of(0x78, 1), "400", /PutRuleRequest does not know: 15$/],
	["unknown groups in groups", PUT, new Uint8Array(200_000).fill(0x6b), "400", /^the request /],
	["random bytes", APPLY, crypto.getRandomValues(new Uint8Array(60_000)), "400", /^the request /],
	["half JSON", PUT, put({}).slice(0, 40), "400", /^PutRuleRequest: /],
	["JSON that is no UTF-8", PUT, Uint8Array.of(0x7b, 0xff, 0x7d), "400", /^the request is not UTF-8 text$/],
	["deep JSON that does not end", PUT, '{"rule":'.repeat(30_000), "400", /^PutRuleRequest: /],
	[
		"deep JSON",
		PUT,
		`${'{"rule":'.repeat(25_000)}1${"}".repeat(25_000)}`,
		"400",
		/"rule" is unknown: known are name, .*$/,
	],
	["deep arrays", APPLY, `{"rules":${"[".repeat(399_000)}`, "400", /^ApplyRequest: /],
	[
		"an unknown field of JSON",
		PUT,
		put({ colour: "red" }),
		"400",
		/"colour" is unknown: known are name, .*$/,
	],
	[
		"a name with control characters",
		PUT,
		put({ name: "a\r\nNats-Service-Error-Code: 200" }),
		"400",
		/^name: "a\\r\\nNats/,
	],
	["a name with a subject's wildcard", PUT, put({ name: ">" }), "400", /^name: ">" is not a name/],
	[
		"a host with control characters",
		PUT,
		put({ hosts: ["relay-b\u0000"] }),
		"400",
		/^hosts\[0\]: "relay-b\\u0000"/,
	],
	[
		"a wrong revision",
		PUT,
		JSON.stringify({ rule, expectedRevision: "999" }),
		"409",
		/^rule evil does not exist, revision 999/,
	],
	[
		"a key that is taken",
		PUT,
		put({ input: { ...input, group: "239.1.1.1" } }),
		"409",
		/is taken by rule video/,
	],
	[
		"3.9 MB for one rule",
		PUT,
		new Uint8Array(3_900_000).fill(0x41),
		"413",
		/^the request has 3900000 bytes, \d+ are taken$/,
	],
	["3.9 MB to a reader's subject", "sluice.v1.rule.list", `{${" ".repeat(3_900_000)}}`, "413", / are taken$/],
	["3.9 MB of names", "sluice.v1.stats.get", `{"names":["${"a".repeat(3_900_000)}"]}`, "413", / are taken$/],
	["millions of empty rules", APPLY, emptyRules, "413", /^the request has over 400000 fields/],
	["the same in JSON", APPLY, `{"rules":[${"{},".repeat(1_300_000)}{}]}`, "413", /: send less at once$/],
	[
		"a request that is not there",
		"sluice.v1.rule.get",
		'{"name":"evil"}',
		"404",
		/^rule evil does not exist/,
	],
];

let holders: ReturnType<typeof lab.relay.start>[];

/** Established connections to port 7080, at its end. */
async function unfinished(): Promise<number> {
	const table = (await lab.relay.read("/proc/net/tcp")).split("\n");
	return table.filter((line) => / 0100007F:1BA8 [0-9A-F]{8}:[0-9A-F]{4} 01 /.test(line)).length;
}

// First: what the others do, they do beside these, and beside the wait for their end.
test("2,000 connections that never finish a request keep nobody out", async () => {
	const half = `PUT /v1/rules/evil HTTP/1.1\r\n${HOST}Authorization: Bearer ${token}\r\n`;
	holders = [
		{ text: `GET /v1/rules HTTP/1.1\r\nHost: loc`, hold: "", connections: 1_900 },
		{ text: `${half}X-Slow: `, hold: "a", connections: 50 },
		{ text: `${half}Content-Length: 100000\r\n\r\n{`, hold: " ", connections: 50 },
	].map((each) => {
		const holder = lab.relay.start([BUN, `${import.meta.dir}/lab/hostile-http.ts`], "pipe");
		const { stdin } = holder;
		if (stdin) {
			stdin.write(`${JSON.stringify(each)}\n`);
			stdin.end();
		}
		return holder;
	});
	await until("all are there", async () => ((await unfinished()) === 2_000 ? true : undefined));
	const [answer] = await http({ text: get("localhost", "/healthz") });
	expect(answer?.statuses).toEqual({ 200: 1 });
	await expectUnharmed();
}, 120_000);

test("over NATS every wrong request gets its code and one line, and so do eight at once", async () => {
	const answers = await nats(
		...overNats.map(([, subject, payload]) => ({ as: "operator", subject, payload, count: 8 })),
	);
	for (const [k, [what, , , code, says]] of overNats.entries()) {
		expect([what, answers[k]?.codes]).toEqual([what, { [code]: 8 }]);
		expect(answers[k]?.errors[code]).toMatch(says);
		// biome-ignore lint/suspicious/noControlCharactersInRegex: none of them must be there
		expect(answers[k]?.errors[code]).not.toMatch(/[\u0000-\u001f]/);
	}
	await expectUnharmed();
}, 120_000);

test("10 MB end the connection that sends them", async () => {
	const payload = new Uint8Array(10 * MIB);
	const [answer] = await nats({ as: "operator", subject: PUT, payload, oversize: true });
	expect(answer?.codes).toEqual({ none: 1 });
	expect(relay.log).toContain("maximum payload");
	await expectUnharmed();
});

test("who has no right is refused, by the server and in its words", async () => {
	const of = (as: string, subject: string) => ({ as, subject, payload: put({}), reply: "" });
	const refused = await nats(
		of("stranger", PUT),
		of("reader", PUT),
		of("reader", APPLY),
		of("operator", kvSubject(buckets.rules, "evil")),
		of("operator", "sluice.v1.host.relay-a.accept"),
		of("worker", kvSubject(buckets.rules, "evil")),
		// Those of another host.
		of("worker", "sluice.v1.counters.relay-b.0"),
		of("supervisor", kvSubject(buckets.hosts, "relay-b")),
		of("supervisor", kvSubject(buckets.rules, "evil")),
	);
	expect(refused[0]?.refused).toMatch(/refuses|auth/i);
	for (const each of refused.slice(1)) expect(each.refused).toMatch(/permissions violation/i);
	await expectUnharmed();
});

test("no reply subject makes anybody else write where the requester may not", async () => {
	const store = [
		kvSubject(buckets.rules, "video"),
		"$JS.API.STREAM.DELETE.KV_sluice_rules",
		"$JS.API.STREAM.PURGE.KV_sluice_rules",
	];
	const ask = (as: string, subject: string, payload = "") =>
		store.map((reply) => ({ as, subject, payload, reply }));
	await nats(
		...ask("reader", "sluice.v1.rule.get", '{"name":""}'),
		...ask("reader", "sluice.v1.rule.get", '{"name":"audio"}'),
		...ask("reader", "sluice.v1.stats.get", "{}"),
		...ask("reader", discoverySubject("PING")),
		...ask("reader", discoverySubject("STATS")),
		...ask("worker", "sluice.v1.counters.relay-a.9"),
	);
	// A put that wants no answer is a put.
	const [quiet] = await nats({ as: "operator", subject: PUT, payload: put({}), reply: "" });
	expect(quiet?.refused).toBe("");
	await until("it is stored", async () =>
		(await relay.rules()).some(({ name }) => name === "evil") ? true : undefined,
	);
	await relay.sluice("rule", "remove", "evil");
	await expectUnharmed();
});

const HOST = "Host: localhost\r\n";
const body = (text: string, more = "") => `${more}Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
const putEvil = (text: string, more?: string) =>
	`PUT /v1/rules/evil HTTP/1.1\r\n${HOST}Authorization: Bearer ${token}\r\n${body(text, more)}`;
const get = (host: string, target = "/v1/rules") => `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
const whole = JSON.stringify({ input, outputs });
const chunked = () => {
	const head = putEvil("").replace("Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n");
	return `${head}${`100000\r\n${" ".repeat(MIB)}\r\n`.repeat(10)}0\r\n\r\n`;
};

/** Without words: those where Bun's own parser answers, before there is a request. */
const overHttp: [what: string, text: () => string, status: number, says?: RegExp][] = [
	["half JSON", () => putEvil(whole.slice(0, 30)), 400, /^the body is not JSON/],
	["deep JSON", () => putEvil(`{"input":${"[".repeat(300_000)}`), 400, /^the body is not JSON/],
	["an unknown field", () => putEvil(JSON.stringify({ ...rule, colour: 1 })), 400, /colour/],
	["millions of values", () => putEvil(`[${"1,".repeat(1_500_000)}1]`), 413, /: send less at once$/],
	["10 MB", () => putEvil(" ".repeat(10 * MIB)), 413],
	["10 MB in chunks", chunked, 413],
	["a wrong revision", () => putEvil(whole, 'If-Match: "999"\r\n'), 409, /revision 999 was expected/],
	[
		"a name with control characters",
		() => get("localhost", "/v1/rules/a%00%0d%0aSet-Cookie:%20b"),
		400,
		/^name: "a\\u0000\\r\\nSet/,
	],
	[
		"a host with control characters",
		() => putEvil(JSON.stringify({ ...rule, hosts: ["relay-b\n"] })),
		400,
		/^hosts\[0\]: "relay-b\\n"/,
	],
	["a name of a rebound domain", () => get("evil.example"), 403, /^Host "evil.example" is not served here/],
	["one with our port", () => get("evil.example:7080"), 403, /^Host "evil.example"/],
	["one that begins like ours", () => get("localhost.evil.example"), 403, /^Host "localhost.evil/],
	["one with our address before an @", () => get("127.0.0.1@evil.example"), 403, /^Host "127.0.0.1@evil/],
	["an address that is not ours", () => get("192.0.2.1"), 403, /^Host "192.0.2.1"/],
	["two Host headers", () => get("localhost\r\nHost: evil.example"), 403, /^Host "localhost, evil.example"/],
	[
		"a target of ours with a Host that is not",
		() => get("evil.example", "http://localhost/v1/rules"),
		403,
		/^Host "evil/,
	],
	["no token", () => `PUT /v1/rules/evil HTTP/1.1\r\n${HOST}${body(whole)}`, 401, /^writing needs the token/],
	[
		"a wrong token",
		() => putEvil(whole).replace(token, token.replace(/.$/, "!")),
		401,
		/^writing needs the token/,
	],
	["a token under another scheme", () => putEvil(whole).replace("Bearer", "Basic"), 401, /^writing needs/],
	[
		"no token and a method that writes",
		() => `DELETE /v1/rules/video HTTP/1.1\r\n${HOST}\r\n`,
		401,
		/^writing/,
	],
	[
		"a method that is not there",
		() => `PATCH /v1/rules/video HTTP/1.1\r\n${HOST}\r\n`,
		405,
		/^PATCH is not possible/,
	],
	["TRACE", () => `TRACE / HTTP/1.1\r\n${HOST}\r\n`, 404, /^\/ is not here/],
	["CONNECT", () => `CONNECT 10.0.0.1:22 HTTP/1.1\r\n${HOST}\r\n`, 400, /^the request target is not a URL/],
	["a huge header", () => `GET /v1/rules HTTP/1.1\r\n${HOST}X: ${"a".repeat(100_000)}\r\n\r\n`, 431],
	["a thousand headers", () => `GET /v1/rules HTTP/1.1\r\n${HOST}${"X: a\r\n".repeat(1_000)}\r\n`, 431],
	["a huge target", () => get("localhost", `/${"a".repeat(100_000)}`), 431],
	["two lengths", () => putEvil(whole, "Content-Length: 5\r\n"), 400],
	["a length and chunks", () => putEvil(whole, "Transfer-Encoding: chunked\r\n"), 400],
	["TLS", () => "\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\r\n\r\n", 400],
];

test("over HTTP every wrong request gets its status, one line, and nothing done", async () => {
	const answers = await http(...overHttp.map(([, text]) => ({ text: text() })));
	for (const [k, [what, , status, says]] of overHttp.entries()) {
		expect([what, answers[k]?.statuses]).toEqual([what, { [status]: 1 }]);
		if (!says) continue;
		const { error } = JSON.parse(answers[k]?.body ?? "") as { error: { status: number; message: string } };
		expect(error.status).toBe(status);
		expect(error.message).toMatch(says);
	}
	await expectUnharmed();
}, 120_000);

test("a request in the body of a refused one stays a body", async () => {
	const smuggled = putEvil(whole);
	const text = `PUT /v1/rules/other HTTP/1.1\r\n${HOST}${body(smuggled)}`;
	const [answer] = await http({ text, times: 50 });
	expect(answer?.statuses).toEqual({ 401: 50 });
	await expectUnharmed();
});

test("100,000 HTTP requests at once are answered, and the token is asked of each that writes", async () => {
	const write = `DELETE /v1/rules/video HTTP/1.1\r\n${HOST}\r\n`;
	const answers = await http(
		{ text: get("localhost", "/v1/rules/video"), times: 500, connections: 100 },
		{ text: write, times: 500, connections: 100 },
	);
	expect(answers.map(({ statuses, closed }) => [statuses, closed])).toEqual([
		[{ 200: 50_000 }, 0],
		[{ 401: 50_000 }, 0],
	]);
	await expectUnharmed();
}, 120_000);

test("connections that never finish a request are closed, whatever they drip", async () => {
	await until("all are closed", async () => ((await unfinished()) === 0 ? true : undefined), 60_000, 200);
	for (const holder of holders) expect(await holder.exited).toBe(0);
}, 120_000);

test("of 100,000 puts at once each is answered, and those that are accepted, no others, are stored", async () => {
	const receiver = await recv(lab.dst, { in: "d0:239.10.1.1:6001", expect: 10_000 });
	const stream = gen(lab.src, { to: "s0:239.1.1.1:5001", rate: 2_000, count: 10_000 });
	// Keys that no other rule has: the host is not known, so that they wait as PENDING.
	const payload = JSON.stringify({ rule: { name: "flood-%k", input, outputs, hosts: ["host-%k"] } });
	const [answer] = await nats({ as: "operator", subject: PUT, payload, count: 100_000 });
	expect(Object.keys(answer?.codes ?? {}).toSorted()).toEqual(["", "503"]);
	expect((answer?.codes[""] ?? 0) + (answer?.codes["503"] ?? 0)).toBe(100_000);
	expect(answer?.errors["503"]).toBe("192 of your requests are under way: try again");
	await stream;
	expect(faults(await receiver.report())).toEqual(NO_FAULTS);
	await expectUnharmed();
	// A control-api that starts anew knows nothing but what is stored.
	process.kill(pids[1] ?? 0, "SIGKILL");
	const stored = await until("its successor answers", async () => {
		const outcome = await relay.cli("rule", "list", "--json");
		return outcome.code === 0 ? (JSON.parse(outcome.stdout) as { rules: { name: string }[] }) : undefined;
	});
	pids[1] = childrenOf(relay.pid).get("control-api") ?? 0;
	const accepted = (answer?.accepted ?? []).map((k) => `flood-${k}`);
	expect(accepted.length).toBeGreaterThanOrEqual(192);
	expect(stored.rules.map(({ name }) => name)).toEqual(["audio", ...accepted, "video"].toSorted());
}, 120_000);
