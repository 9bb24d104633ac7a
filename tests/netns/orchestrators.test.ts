import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { ServiceIdentity, ServiceInfo, ServiceStats } from "@nats-io/services";
import { must, until } from "./lab/commands.ts";
import { Relay } from "./lab/relay.ts";
import { secondAggregator } from "./lab/second-aggregator.ts";
import { type Chain, chain } from "./lab/topology.ts";
import { gen } from "./lab/traffic.ts";
import { Watching } from "./lab/watching.ts";

const ROOT = resolve(import.meta.dir, "../..");
const EXAMPLES = join(ROOT, "docs/examples");

let scratch: string;
let lab: Chain;
let relay: Relay;
/** Credentials of a program that places rules. */
let robot: string;
let watching: Watching;

beforeAll(async () => {
	scratch = mkdtempSync(join(tmpdir(), "sluice-orchestrators-"));
	lab = await chain();
	relay = new Relay(lab.relay);
	await relay.up("--workers", "1");
	robot = (await relay.issue("orchestrator", "robot")).file;
	watching = await Watching.start(lab.relay, robot, "sluice.v1.event.>", "sluice.v1.stats.*.json");
});

afterAll(async () => {
	watching?.stop();
	await relay?.remove();
	await lab?.remove();
	rmSync(scratch, { recursive: true, force: true });
});

const RULE = ["--in", "r0:239.1.1.1:5001", "--out", "r1:239.10.1.1:6001"];
const STATE = "sluice.v1.event.host.relay-a.rule.video";

async function asRobot(...words: string[]): Promise<string> {
	return await relay.sluice(...words, "--credentials", robot);
}

test("a watcher hears of a rule from its first write to its end, and rule.get says the same", async () => {
	await asRobot("rule", "add", "video", ...RULE);
	const added = await watching.next("added", ({ subject }) => subject === "sluice.v1.event.rule.video.added");
	expect(added).toMatchObject({ type: "application/json", body: { name: "video", change: "ADDED" } });
	const { revision, uid } = added.body;
	const active = await watching.next(
		"ACTIVE",
		({ subject, body }) => subject === STATE && body["state"] === "ACTIVE",
	);
	expect(active.body).toMatchObject({ host: "relay-a", name: "video", uid, revision, reason: "" });

	const mark = watching.heard.length;
	await asRobot("rule", "set", "video", ...RULE, "--out", "r2:239.10.1.2:6001");
	const changed = await watching.next("changed", ({ subject }) => subject.endsWith(".video.changed"), mark);
	expect(Number(changed.body["revision"])).toBeGreaterThan(Number(revision));
	await watching.next(
		"ACTIVE with the revision of the edit",
		({ subject, body }) => subject === STATE && body["revision"] === changed.body["revision"],
		mark,
	);

	await lab.relay.ip("link", "set", "r0", "down");
	const pending = await watching.next("PENDING", ({ body }) => body["state"] === "PENDING", mark);
	const [status] = await relay.rules();
	expect(status?.hosts).toEqual([
		{ host: "relay-a", state: "PENDING", reason: String(pending.body["reason"]) },
	]);
	await lab.relay.ip("link", "set", "r0", "up");
	const after = watching.heard.indexOf(pending);
	await watching.next("ACTIVE again", ({ body }) => body["state"] === "ACTIVE", after);

	const end = watching.heard.length;
	await asRobot("rule", "remove", "video");
	await watching.next("removed", ({ subject }) => subject === "sluice.v1.event.rule.video.removed", end);
	await watching.next(
		"withdrawn",
		({ subject, body }) => subject === STATE && body["withdrawn"] === true,
		end,
	);
});

test("a worker's end and its next start are told", async () => {
	const [worker] = await relay.workers();
	const mark = watching.heard.length;
	process.kill(worker?.pid ?? 0, "SIGKILL");
	const restarted = await watching.next(
		"the worker runs again",
		({ subject, body }) =>
			subject === "sluice.v1.event.host.relay-a.worker.0" &&
			(body["worker"] as { state: string }).state === "RUNNING",
		mark,
	);
	expect(restarted.body["worker"]).toMatchObject({ host: "relay-a", restarts: 1, lastExit: "SIGKILL" });
});

test("statistics come each second in JSON, and are what stats.get answers", async () => {
	await asRobot("rule", "add", "video", ...RULE);
	await gen(lab.src, { to: "s0:239.1.1.1:5001", rate: 1_000, count: 200 });
	const [rule] = (await relay.figuresAfter(200)).rules;
	const told = await watching.next(
		"200 datagrams",
		({ subject, body }) =>
			subject === "sluice.v1.stats.video.json" && body["receivedPackets"] === String(rule?.receivedPackets),
	);
	expect(told).toMatchObject({ type: "application/json", body: { name: "video", forwardedPackets: "200" } });
	await asRobot("rule", "remove", "video");
});

/** As the client of the NATS project reads them, each service that answered. */
interface Discovered {
	readonly ping: ServiceIdentity[];
	readonly info: ServiceInfo[];
	readonly stats: ServiceStats[];
}

/** Whoever has answered in time; on a busy machine not yet all of them. @param which a name and an id, or all */
async function discover(...which: string[]): Promise<Discovered> {
	const program = [`${ROOT}/.tools/bin/bun`, `${import.meta.dir}/lab/discoverer.ts`, robot];
	return JSON.parse(await lab.relay.must([...program, ...which])) as Discovered;
}

/** Fields of ADR-32 of NATS, by which the nats tool judges what it is answered (docs/adr/0103). */
const IDENTITY = ["id", "name", "type", "version"];
const NAME = /^[a-zA-Z0-9_-]+$/;
const ENDPOINT = ["name", "queue_group", "subject"];
const FIGURES = ["average_processing_time", "num_errors", "num_requests", "processing_time"];

const keysOf = (value: object) => Object.keys(value).sort();

test("an orchestrator finds each service once, as the nats tool's micro ls does", async () => {
	const second = await secondAggregator(relay);
	const names = ["sluice-control-api", "sluice-stats-aggregator", "sluice-stats-aggregator"];
	const found = await until("all have answered", async () => {
		const answers = await discover();
		return Object.values(answers).every(({ length }) => length >= names.length) ? answers : undefined;
	});
	await second.end();
	const ids = found.ping.map(({ id }) => id).sort();
	expect(new Set(ids).size).toBe(names.length);
	for (const [verb, answers] of Object.entries(found)) {
		expect(answers.map(({ name }: ServiceIdentity) => name).sort()).toEqual(names);
		expect(answers.map(({ id }: ServiceIdentity) => id).sort()).toEqual(ids);
		const type = `io.nats.micro.v1.${verb}_response`;
		for (const answer of answers)
			expect(answer).toMatchObject({ type, version: expect.stringMatching(/^\d+\.\d+\.\d+$/) });
	}
	for (const answer of found.ping) expect(keysOf(answer)).toEqual(IDENTITY);
});

test("of endpoints services say what docs/api.md has, and count each, as its micro info and stats show", async () => {
	const reference = readFileSync(join(ROOT, "docs/api.md"), "utf8");
	const { info, stats } = await until("both have answered", async () => {
		const answers = await discover();
		return Object.values(answers).every(({ length }) => length === 2) ? answers : undefined;
	});
	for (const service of info) {
		expect(keysOf(service)).toEqual([...IDENTITY, "description", "endpoints"].sort());
		expect(service.name).toMatch(NAME);
		for (const { metadata = {}, ...endpoint } of service.endpoints) {
			expect([keysOf(endpoint), endpoint.queue_group]).toEqual([ENDPOINT, service.name]);
			expect(endpoint.name).toMatch(NAME);
			// Its last token is this instance.
			if (!endpoint.subject.startsWith("sluice.v1.apply."))
				expect(reference).toContain(`### \`${endpoint.subject}\``);
			const { request = "", response = "", ...others } = metadata;
			for (const message of [request, response])
				expect(reference).toContain(`### ${message.replace("sluice.v1.", "")}\n`);
			expect(others).toEqual({
				encodings: expect.stringContaining("JSON"),
				request_limit_bytes: expect.stringMatching(/^(\d+|max_payload)$/),
			});
		}
	}
	const told = info.flatMap(({ endpoints }) => endpoints);
	const put = told.find(({ subject }) => subject === "sluice.v1.rule.put");
	expect(put?.metadata).toMatchObject({ request: "sluice.v1.PutRuleRequest", request_limit_bytes: "262144" });
	for (const { id, started, endpoints = [], ...service } of stats) {
		expect(keysOf(service)).toEqual(["name", "type", "version"]);
		expect(new Date(started).toISOString()).toBe(started);
		const served = info.find((each) => each.id === id)?.endpoints ?? [];
		expect(endpoints.map(({ subject }) => subject)).toEqual(served.map(({ subject }) => subject));
		for (const endpoint of endpoints) {
			expect(keysOf(endpoint)).toEqual([...ENDPOINT, ...FIGURES, "data"].sort());
			for (const key of FIGURES) expect(Reflect.get(endpoint, key)).toBeInteger();
			expect(endpoint.data).toEqual({ errors: expect.any(Number), last_error: expect.any(String) });
		}
		// `micro info` asks for the figures of the one that told of itself.
		const alone = await until("it has answered", async () => {
			const answers = await discover(service.name, id);
			return Object.values(answers).every(({ length }) => length > 0) ? answers : undefined;
		});
		for (const answers of Object.values(alone)) expect(answers).toMatchObject([{ name: service.name, id }]);
	}
	const counted = stats.flatMap(({ endpoints = [] }) => endpoints);
	expect(counted.find(({ subject }) => subject === "sluice.v1.rule.put")?.num_requests).toBeGreaterThan(0);
});

test("credentials say where they reach, and what is not theirs, with what to do about it", async () => {
	const { stderr } = await relay.cli("credentials", "orchestrator", "robot");
	expect(stderr).toBe(
		"sluice: nats://127.0.0.1:4222 can be reached on this host only: should robot run on another, " +
			"start sluice up with --nats-listen ADDR:PORT, and give this command --nats nats://ADDR:PORT\n",
	);
	expect(await relay.cli("log", "level", "debug", "--credentials", robot)).toEqual({
		code: 1,
		stdout: "",
		stderr:
			"sluice: these credentials may not send to sluice.v1.log.level: name a file that may with --credentials, " +
			"or use sudo on the host where nats-server runs\n",
	});
	expect(await relay.cli("credentials", "host", "relay-b", "--nats", "http://10.0.0.1")).toEqual({
		code: 1,
		stdout: "",
		stderr:
			"sluice: --nats http://10.0.0.1: expected nats://ADDR:PORT or tls://ADDR:PORT, or several with commas between\n",
	});
});

/** What both examples say, whoever asks for them. */
function examplesWords(revision: number): RegExp[] {
	return [
		new RegExp(`^put: revision ${revision}$`, "m"),
		/^relay-a: ACTIVE$/m,
		/^video: 0 received, 0 forwarded$/m,
		new RegExp(`^removed: revision ${revision + 1}$`, "m"),
	];
}

const REFUSED = /sluice\.v1\.rule\.put refused: 409 .*video/;

async function nextRevision(): Promise<number> {
	await asRobot("rule", "add", "last", ...RULE);
	const [rule] = await relay.rules();
	await asRobot("rule", "remove", "last");
	return Number(rule?.revision) + 2;
}

const GOPATH = "/usr/share/gocode";
const go = existsSync(`${GOPATH}/src/github.com/nats-io/nats.go`) ? Bun.which("go") : null;
if (go === null) console.log("skipped: go, or golang-github-nats-io-go-nats-dev, is not installed here");

test.skipIf(go === null)(
	"the example in Go does what it says",
	async () => {
		const program = join(scratch, "place_rule");
		const environment = [
			"env",
			"CGO_ENABLED=0",
			"GO111MODULE=off",
			`GOPATH=${GOPATH}`,
			"GOFLAGS=-gcflags=all=-N",
		];
		const source = join(EXAMPLES, "place_rule.go");
		await must([...environment, go ?? "", "build", "-o", program, source], { timeoutMs: 240_000 });
		const revision = await nextRevision();
		const { code, stdout, stderr } = await lab.relay.run([program, robot, "r0", "r1"]);
		expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
		for (const words of examplesWords(revision)) expect(stdout).toMatch(words);
		expect(stdout).toMatch(REFUSED);
		expect(stdout).toContain("relay-a: withdrawn\n");
		await asRobot("rule", "add", "video", ...RULE);
		const refused = await lab.relay.run([program, robot, "r0", "r1"]);
		expect(refused).toMatchObject({
			code: 1,
			stderr: expect.stringMatching(/put refused: 409 rule video exists/),
		});
		expect((await relay.rules()).map((rule) => rule.name)).toEqual(["video"]);
		await asRobot("rule", "remove", "video");
	},
	300_000,
);
