// compose.yaml as it is, on a real engine whose "host network" is a namespace of the test's own.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { until } from "../netns/lab/commands.ts";
import { type Chain, chain, UNROUTABLE_SOURCE } from "../netns/lab/topology.ts";
import { faults, gen, genUntilStopped, NO_FAULTS, recv } from "../netns/lab/traffic.ts";
import { Deployment, processesIn } from "./lab/deployment.ts";
import { Engine, importStandIns, whyNoEngine } from "./lab/engine.ts";

const reason = await whyNoEngine();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const SERVICES = ["control-api", "credentials", "nats", "relay", "stats-aggregator"];

let lab: Chain;
let engine: Engine;
let host: Deployment;
/** What there was before. */
let links: string;

async function linksOf(): Promise<string> {
	const all = JSON.parse(await lab.relay.ip("-json", "link")) as { ifname: string; address: string }[];
	return all.map(({ ifname, address }) => `${ifname} ${address}`).join("\n");
}

/** Sends what the rule takes and expects every datagram, once and in order. */
async function flows(count = 1_000): Promise<void> {
	const receiver = await recv(lab.dst, { in: "d0:239.10.1.1:6001", expect: count });
	await gen(lab.src, { to: "s0:239.1.1.1:5001", rate: 2_000, count, source: UNROUTABLE_SOURCE });
	const report = await receiver.report();
	expect(faults(report)).toEqual(NO_FAULTS);
	expect(report.receivedPackets).toBe(count);
}

/** Sends without end until something comes through: nobody asks the relay for anything. */
async function flowsAgain(): Promise<void> {
	const receiver = await recv(lab.dst, { in: "d0:239.10.1.1:6001", expect: 100, idleSeconds: 60 });
	const stop = genUntilStopped(lab.src, { to: "s0:239.1.1.1:5001", rate: 500, source: UNROUTABLE_SOURCE });
	const report = await receiver.report();
	await stop();
	expect(report.receivedPackets).toBeGreaterThanOrEqual(100);
	expect(report.duplicatedPackets).toBe(0);
}

describe.skipIf(reason !== undefined)("one host with compose", () => {
	beforeAll(async () => {
		lab = await chain();
		links = await linksOf();
		engine = new Engine();
		host = new Deployment(engine, { SLUICE_HOST_ID: "relay-a", SLUICE_WORKERS: "2" });
		// Only what is built needs a network with a registry in it.
		await engine.start();
		await importStandIns(engine);
		await host.compose("build", "init");
		await engine.stop();
		await engine.start(lab.relay);
	}, 400_000);

	afterAll(async () => {
		await engine?.remove();
		await lab?.remove();
	});

	test("the first up brings everything, and all containers are healthy", async () => {
		await host.compose("up", "--detach", "--no-build");
		await host.healthy();
		const states = (await host.containers()).map(({ Service, State }) => [Service, State]).sort();
		expect(states).toEqual([
			["control-api", "running"],
			["credentials", "running"],
			["init", "exited"],
			["nats", "running"],
			["relay", "running"],
			["stats-aggregator", "running"],
		]);
		// What stands in for the official image is as new as that.
		const version = await host.compose("exec", "--no-TTY", "nats", "nats-server", "--version");
		expect(Bun.semver.satisfies(version.replace(/^nats-server: v/, "").trim(), ">=2.12.0")).toBeTrue();
	});

	test("a stream from an unroutable source arrives whole", async () => {
		const answer = await host.sluice(
			...["control-api", "rule", "add", "video"],
			...["--in", "r0:239.1.1.1:5001", "--out", "r1:239.10.1.1:6001"],
		);
		expect(answer).toBe("rule video: ACTIVE on relay-a\n");
		await flows(5_000);
		await until("the statistics say so", async () => {
			const { rules } = JSON.parse(await host.sluice("control-api", "--json", "stats", "video"));
			const { receivedPackets, forwardedPackets } = rules[0];
			return (receivedPackets === "5000" && forwardedPackets === "5000") || undefined;
		});
	});

	test("process 1 of the relay is the keeper, and nobody has more rights than it needs", async () => {
		const pid = await host.pidOf("relay");
		expect(readFileSync(`/proc/${pid}/comm`, "utf8")).toBe("sluice-keeper\n");
		expect(rightsOf(pid)).toEqual({ uid: "0", bounding: "00000080008035e0", newPrivileges: "no" });
		const users = { credentials: "0", nats: "65521", "control-api": "65522", "stats-aggregator": "65523" };
		for (const [service, uid] of Object.entries(users)) {
			const rights = rightsOf(await host.pidOf(service));
			expect([service, rights]).toEqual([
				service,
				{ uid, bounding: "0000000000000000", newPrivileges: "no" },
			]);
		}
		const workers = processIds(pid).filter((each) => commandOf(each).includes("worker.js"));
		expect(workers).toHaveLength(2);
		for (const worker of workers)
			expect(rightsOf(worker)).toEqual({ uid: "65524", bounding: "0000000000000000", newPrivileges: "no" });
	});

	test("no key stands in an argument, an environment or a log", async () => {
		const seeds = await host.compose(
			"exec",
			"--no-TTY",
			"relay",
			"sh",
			"-c",
			"cat /var/lib/sluice/credentials/*.json",
		);
		const known = [...seeds.matchAll(/SU[A-Z2-7]{50,}/g)].map(([seed]) => seed);
		expect(known.length).toBeGreaterThanOrEqual(6);
		const said = [await host.compose("logs"), await host.compose("config")];
		for (const { ID } of await host.containers()) said.push(await engine.docker("inspect", ID));
		for (const service of SERVICES) {
			for (const pid of await processIds(await host.pidOf(service)))
				said.push(commandOf(pid), readFileSync(`/proc/${pid}/environ`, "utf8"));
		}
		expect(known.filter((seed) => said.some((text) => text.includes(seed)))).toEqual([]);
	});

	test("credentials are made and revoked while everything runs", async () => {
		const issue = ["credentials", "orchestrator", "robot", "--out", "-"];
		const { seed } = JSON.parse(await host.sluice("credentials", ...issue)) as { seed: string };
		expect(seed).toStartWith("SU");
		const file = "/var/lib/sluice/credentials/orchestrator-robot.json";
		const asRobot = () =>
			host.try(...["exec", "-T", "credentials", "sluice", "rule", "list", "--credentials", file]);
		expect((await asRobot()).code).toBe(0);
		await host.compose("exec", "-T", "credentials", "cp", file, "/run/sluice/robot.json");
		await host.sluice("credentials", "credentials", "revoke", "orchestrator", "robot");
		const late = [
			"exec",
			"-T",
			"credentials",
			"sluice",
			"rule",
			"list",
			"--credentials",
			"/run/sluice/robot.json",
		];
		expect(await host.try(...late)).toMatchObject({
			code: 1,
			stderr: expect.stringContaining("refuses these credentials"),
		});
	});

	test.each(["nats", "control-api", "stats-aggregator", "credentials"])(
		"a restart of %s costs no datagram",
		async (service) => {
			const receiver = await recv(lab.dst, { in: "d0:239.10.1.1:6001", idleSeconds: 3 });
			const stop = genUntilStopped(lab.src, {
				to: "s0:239.1.1.1:5001",
				rate: 1_000,
				source: UNROUTABLE_SOURCE,
			});
			await host.compose("restart", service);
			await host.healthy();
			const sent = await stop();
			const report = await receiver.report();
			expect(faults(report)).toEqual(NO_FAULTS);
			expect(report.receivedPackets).toBe(sent);
			await host.active("video");
		},
	);

	test("after a restart of the relay the rule flows without being asked", async () => {
		await host.compose("restart", "relay");
		await flowsAgain();
		await host.healthy();
		await host.active("video");
		await flows();
	});

	test("a relay container whose keeper is killed comes back", async () => {
		const before = await host.pidOf("relay");
		process.kill(before, "SIGKILL");
		await flowsAgain();
		expect(await host.pidOf("relay")).not.toBe(before);
		await host.healthy();
		await host.active("video");
		await flows();
	});

	test.each(["SIGTERM", "SIGKILL"] as const)(
		"after %s to the engine the rules are back and flow",
		async (signal) => {
			await engine.stop(signal);
			await engine.start(lab.relay);
			await flowsAgain();
			await host.healthy();
			await host.active("video");
			await flows();
		},
	);

	test("down ends all within the grace period, and leaves no process, interface or namespace", async () => {
		const namespaces = readdirSync("/run/netns").sort();
		await host.compose("down", "--timeout", "10");
		expect(await host.containers()).toEqual([]);
		const left = (await processesIn(lab.relay.name)).filter(
			(name) => !["dockerd", "containerd"].includes(name),
		);
		expect(left).toEqual([]);
		expect(await linksOf()).toBe(links);
		expect(readdirSync("/run/netns").sort()).toEqual(namespaces);
		// What was desired stays: the next `up` goes on with it.
		await host.compose("up", "--detach", "--no-build");
		await flowsAgain();
		await host.compose("down", "--volumes");
	});
});

interface Rights {
	uid: string | undefined;
	bounding: string | undefined;
	newPrivileges: string;
}

function rightsOf(pid: number): Rights {
	const status = readFileSync(`/proc/${pid}/status`, "utf8");
	const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status)?.[1];
	return {
		uid: field("Uid"),
		bounding: field("CapBnd"),
		newPrivileges: field("NoNewPrivs") === "1" ? "no" : "yes",
	};
}

function commandOf(pid: number): string {
	try {
		return readFileSync(`/proc/${pid}/cmdline`, "utf8");
	} catch {
		return "";
	}
}

/** A container's process 1 and all below it. */
function processIds(pid: number): number[] {
	const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
		readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number),
	);
	return [pid, ...children.flatMap(processIds)];
}
