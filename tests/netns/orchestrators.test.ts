import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { discoverySubject } from "@sluice/proto/subjects";
import { must } from "./lab/commands.ts";
import { Relay } from "./lab/relay.ts";
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

interface Endpoint {
	readonly subject: string;
	readonly queue_group: string;
	readonly metadata: { readonly request: string; readonly response: string };
}

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

test("an orchestrator finds the services with their endpoints, as the nats tool's micro commands do", async () => {
	const found = async (verb: "PING" | "INFO" | "STATS") => {
		const program = [`${ROOT}/.tools/bin/bun`, `${import.meta.dir}/lab/discoverer.ts`];
		const lines = (await lab.relay.must([...program, robot, discoverySubject(verb)]))
			.split("\n")
			.filter(Boolean);
		const answers = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
		return new Map(answers.map((answer) => [String(answer["name"]), answer]));
	};
	const pings = await found("PING");
	expect([...pings.keys()].sort()).toEqual(["sluice-control-api", "sluice-stats-aggregator"]);
	for (const ping of pings.values()) {
		expect(ping).toMatchObject({ type: "io.nats.micro.v1.ping_response", version: expect.any(String) });
	}
	const infos = await found("INFO");
	const endpoints = [...infos.values()].flatMap((info) => info["endpoints"] as Endpoint[]);
	const reference = readFileSync(join(ROOT, "docs/api.md"), "utf8");
	for (const { subject, queue_group, metadata } of endpoints) {
		// Its last token is this instance.
		if (!subject.startsWith("sluice.v1.apply.")) expect(reference).toContain(`### \`${subject}\``);
		expect(queue_group).toMatch(/^sluice-/);
		for (const message of [metadata.request, metadata.response])
			expect(reference).toContain(`### ${message.replace("sluice.v1.", "")}\n`);
	}
	const put = endpoints.find(({ subject }) => subject === "sluice.v1.rule.put");
	expect(put?.metadata).toMatchObject({ request: "sluice.v1.PutRuleRequest", request_limit_bytes: "262144" });
	const stats = await found("STATS");
	const counted = stats.get("sluice-control-api")?.["endpoints"] as (Endpoint & { num_requests: number })[];
	expect(counted.find(({ subject }) => subject === "sluice.v1.rule.put")?.num_requests).toBeGreaterThan(0);
});

test("credentials say where they reach, and what is not theirs, with what to do about it", async () => {
	const { stderr } = await relay.cli("credentials", "orchestrator", "robot");
	expect(stderr).toBe(
		"sluice: nats://127.0.0.1:4222 can be reached on this host only: should robot run on another, " +
			"give up --nats-listen ADDR:PORT, and this command --nats nats://ADDR:PORT\n",
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

async function shellExample(path: string): Promise<void> {
	const revision = await nextRevision();
	const argv = ["env", `PATH=${path}`, join(EXAMPLES, "place-rule.sh"), robot, "r0", "r1"];
	const { code, stdout, stderr } = await lab.relay.run(argv);
	expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(REFUSED) });
	for (const words of examplesWords(revision)) expect(stdout).toMatch(words);
	expect(stdout).toContain('{"name":"video","change":"ADDED"}');
	expect(stdout).toContain('{"name":"video","host":"relay-a","state":"ACTIVE","withdrawn":false}');
	expect(stdout).toContain('{"name":"video","change":"REMOVED"}');
}

const nats = Bun.which("nats");
const jq = Bun.which("jq");
if (jq === null) console.log("skipped: the shell example needs jq, which is not installed here");
if (nats === null) console.log("skipped: the nats command line tool is not installed here");

test.skipIf(jq === null || nats === null)(
	"the shell example does what it says, with the nats tool",
	async () => {
		await shellExample(process.env["PATH"] ?? "");
	},
);

test.skipIf(jq === null)(
	"the shell example does what it says, with what stands in for the nats tool",
	async () => {
		const program = `exec "${ROOT}/.tools/bin/bun" "${import.meta.dir}/lab/nats-tool.ts" "$@"`;
		writeFileSync(join(scratch, "nats"), `#!/bin/sh\n${program}\n`, { mode: 0o755 });
		const path = `${scratch}:${process.env["PATH"]}`;
		await shellExample(path);
		// One that fails leaves no rule behind.
		const argv = ["env", `PATH=${path}`, join(EXAMPLES, "place-rule.sh"), robot, "r0", "r9"];
		const failed = await lab.relay.run(argv);
		expect(failed).toMatchObject({
			code: 1,
			stdout: expect.stringContaining("PENDING, no output interface r9 here"),
		});
		expect(await relay.rules()).toEqual([]);
	},
);

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
	},
	300_000,
);
