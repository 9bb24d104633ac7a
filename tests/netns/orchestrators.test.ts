import { afterAll, beforeAll, expect, test } from "bun:test";
import { Relay } from "./lab/relay.ts";
import { type Chain, chain } from "./lab/topology.ts";
import { gen } from "./lab/traffic.ts";
import { Watching } from "./lab/watching.ts";

let lab: Chain;
let relay: Relay;
/** Credentials of a program that places rules. */
let robot: string;
let watching: Watching;

beforeAll(async () => {
	lab = await chain();
	relay = new Relay(lab.relay);
	await relay.up("--workers", "1");
	robot = (
		JSON.parse(await relay.sluice("credentials", "orchestrator", "robot", "--json")) as { file: string }
	).file;
	watching = await Watching.start(lab.relay, robot, "sluice.v1.event.>", "sluice.v1.stats.*.json");
});

afterAll(async () => {
	watching?.stop();
	await relay?.remove();
	await lab?.remove();
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
