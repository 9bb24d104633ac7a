// compose.yaml as it is, on a real engine: what its first up brings, what that may do, and what down leaves.

import { expect, test } from "bun:test";
import { chownSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { SUPERVISOR_CAPABILITIES } from "../../services/cli/up/launch.ts";
import { until } from "../netns/lab/commands.ts";
import { Deployment } from "./lab/deployment.ts";
import type { Engine } from "./lab/engine.ts";
import type { RelayHosts } from "./lab/hosts.ts";
import { inspected } from "./lab/inspected.ts";
import { commandOf, environmentOf, processesIn, processIds, rightsOf } from "./lab/processes.ts";
import { describeOnEngine, withRelayHost } from "./lab/relay-host.ts";

const SERVICES = ["control-api", "credentials", "nats", "relay", "stats-aggregator"];

/** By the first 15 letters of its name, which the kernel keeps. */
const isShim = (name: string) => "containerd-shim-runc-v2".startsWith(name);

let lab: RelayHosts;
let engine: Engine;
let host: Deployment;
let folder: string;
/** What there was before. */
let links: string;

describeOnEngine("a relay host with compose", () => {
	withRelayHost(async (relayHost) => {
		({ lab, engine, host, folder } = relayHost);
		links = await lab.links();
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
		await lab.addRule(host);
		await lab.flows(5_000);
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
		const users = {
			credentials: "65525",
			nats: "65521",
			"control-api": "65522",
			"stats-aggregator": "65523",
		};
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

	test("who makes keys is no root and has no capability, and each key is readable by its reader alone", async () => {
		const init = ["run", "--rm", "--no-deps", "--no-TTY", "--entrypoint", "cat", "init"];
		const statuses = [
			await host.compose(...init, "/proc/self/status"),
			readFileSync(`/proc/${await host.pidOf("credentials")}/status`, "utf8"),
		];
		for (const status of statuses) {
			expect(status).toMatch(/^Uid:(\t65525){4}$/m);
			expect(status).toMatch(/^Groups:\t65520 65521 65522 65523 65525 65526 $/m);
			expect(status.match(/^Cap\w+:\t0{16}$/gm)).toHaveLength(5);
		}
		const look = (what: string) =>
			`cd /var/lib/sluice; for f in credentials/* [!cs]*; do [ ! -f $f ] || [ ! -${what} $f ] || echo $f; done`;
		const those = async (service: string, what: string) =>
			(await host.compose("exec", "--no-TTY", service, "sh", "-c", look(what))).split("\n").filter(Boolean);
		const readable: Record<string, string[]> = {
			nats: ["credentials/reader.json", "nats.conf"],
			"control-api": [
				"credentials/control-api.json",
				"credentials/operator.json",
				"credentials/reader.json",
				"http-token",
			],
			"stats-aggregator": ["credentials/reader.json", "credentials/stats-aggregator.json"],
			relay: ["credentials/reader.json", "credentials/relay.json", "installation"],
		};
		for (const [service, files] of Object.entries(readable)) {
			expect([service, await those(service, "r")]).toEqual([service, files]);
			expect([service, await those(service, "w")]).toEqual([service, []]);
		}
		const all = await those("credentials", "f");
		expect(all.length).toBeGreaterThan(10);
		expect(await those("credentials", "r")).toEqual(all);
	});

	test("each has limits, rotates its log, cannot write to its image, and starts when what it needs is well", async () => {
		const all = await inspected(host);
		const init = all.get("init");
		const done = { init: "service_completed_successfully" };
		for (const [service, { startedMs, finishedMs, ...given }] of all) {
			const common = {
				...{ readOnly: true, network: "host", dropped: ["ALL"], security: ["no-new-privileges:true"] },
				log: { Type: "local", Config: { "max-size": "10m", "max-file": "5" } },
				...{ restart: "always", graceSeconds: 10, limited: true, checked: true, added: [] },
				after: { ...done, nats: "service_healthy" },
			};
			const special: Record<string, object> = {
				init: { restart: "no", checked: false, after: {} },
				nats: { after: done },
				relay: { added: SUPERVISOR_CAPABILITIES.toSorted() },
			};
			expect({ service, ...given }).toEqual({ service, ...common, ...special[service] });
			if (service !== "init") expect(startedMs).toBeGreaterThanOrEqual(init?.finishedMs ?? 0);
		}
		expect(init?.finishedMs).toBeGreaterThan(init?.startedMs ?? 0);
	});

	test("the image has no compiler, is nobody's by itself, and adds little to Debian's", async () => {
		const tools = "cc gcc g++ clang as ld make cargo go";
		const look = `for tool in ${tools}; do ! command -v $tool || exit 1; done; id -un; cat /proc/self/status`;
		const run = ["run", "--rm", "--network", "none", "--entrypoint", "sh", "sluice:0.1.0", "-c", look];
		const said = await engine.docker(...run);
		expect(said).toStartWith("sluice-worker\n");
		expect(said).toMatch(/^CapEff:\s+0+$/m);
		const size = async (image: string) =>
			Number(await engine.docker("image", "inspect", "--format", "{{.Size}}", image));
		const base = /^ARG DEBIAN_IMAGE=(\S+)$/m.exec(
			readFileSync(`${import.meta.dir}/../../Dockerfile`, "utf8"),
		);
		const added = (await size("sluice:0.1.0")) - (await size(base?.[1] ?? ""));
		console.log(`measured: the image adds ${Math.round(added / 1e6)} MB to Debian's`);
		expect(added).toBeLessThan(150e6);
	});

	test("no key stands in an argument, an environment or a log", async () => {
		const seeds = await host.compose(
			"exec",
			"--no-TTY",
			"credentials",
			"sh",
			"-c",
			"cat /var/lib/sluice/credentials/*.json /var/lib/sluice/http-token",
		);
		const known = [...seeds.matchAll(/SU[A-Z2-7]{50,}/g)].map(([seed]) => seed);
		expect(known.length).toBeGreaterThanOrEqual(6);
		const token = seeds.trim().split("\n").at(-1)?.split("}").at(-1) ?? "";
		expect(token.length).toBeGreaterThanOrEqual(32);
		known.push(token);
		const said = [await host.compose("logs"), await host.compose("config")];
		for (const { ID } of await host.containers()) said.push(await engine.docker("inspect", ID));
		for (const service of SERVICES) {
			for (const pid of await processIds(await host.pidOf(service)))
				said.push(commandOf(pid), environmentOf(pid));
		}
		expect(known.filter((seed) => said.some((text) => text.includes(seed)))).toEqual([]);
	});

	test("credentials are made and revoked while everything runs", async () => {
		const issue = ["credentials", "orchestrator", "robot", "--out", "-", "--timeout", "60"];
		const { seed } = JSON.parse(await host.sluice("credentials", ...issue)) as { seed: string };
		expect(seed).toStartWith("SU");
		const file = "/var/lib/sluice/credentials/orchestrator-robot.json";
		const asRobot = () =>
			host.try(...["exec", "-T", "credentials", "sluice", "rule", "list", "--credentials", file]);
		expect((await asRobot()).code).toBe(0);
		await host.compose("exec", "-T", "credentials", "cp", file, "/run/sluice/robot.json");
		await host.sluice("credentials", "credentials", "revoke", "orchestrator", "robot", "--timeout", "60");
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

	test("settings and files that cannot be are one line that says what to do, and cost no datagram", () =>
		lab.flowThrough(host, async () => {
			const wrong = await host.try("run", "--rm", "--no-deps", "--env", "SLUICE_WORKERS=99", "relay");
			expect(wrong.code).toBe(1);
			expect(wrong.stderr).toContain("sluice: SLUICE_WORKERS 99: expected auto, or 1 to 64\n");
			mkdirSync(`${folder}/bare`);
			const bare = new Deployment(engine, { ...host.settings, SLUICE_NATS_TLS: `${folder}/bare` });
			expect((await bare.try("run", "--rm", "--no-deps", "init")).stderr).toContain(
				`sluice: SLUICE_NATS_TLS ${folder}/bare/cert.pem does not exist: `,
			);
			const joining = (file: string) =>
				new Deployment(engine, { SLUICE_HOST_ID: "relay-b", SLUICE_HOST_FILE: file }, "compose.relay.yaml");
			const missing = await joining(`${folder}/none.json`).try("up", "--detach", "--no-build");
			expect(missing.code).not.toBe(0);
			expect(missing.stderr).toContain(`${folder}/none.json`);
			writeFileSync(`${folder}/empty.json`, "{}", { mode: 0o600 });
			const empty = joining(`${folder}/empty.json`);
			expect((await empty.try("up", "--detach", "--no-build")).code).not.toBe(0);
			expect(await empty.compose("logs", "--no-log-prefix", "init")).toContain(
				"sluice: credentials file /run/secrets/host cannot be read (EACCES): chown 65525, or name another file\n",
			);
			chownSync(`${folder}/empty.json`, 65525, 0);
			expect((await empty.try("up", "--detach", "--no-build")).code).not.toBe(0);
			expect(await empty.compose("logs", "--no-log-prefix", "init")).toContain(
				"sluice: credentials /run/secrets/host are not those of a host: --credentials needs the file that sluice credentials host relay-b made, no other\n",
			);
			await empty.compose("down", "--volumes");
		}));

	test("down ends all within the grace period, and leaves no process, interface or namespace", async () => {
		const namespaces = readdirSync("/run/netns").sort();
		const since = Date.now() / 1_000;
		await host.compose("down");
		expect(await host.containers()).toEqual([]);
		const ended = await engine.docker(
			...["events", "--since", `${since}`, "--until", `${Date.now() / 1_000}`, "--filter", "event=die"],
			...[
				"--format",
				'{{index .Actor.Attributes "com.docker.compose.service"}} {{.Actor.Attributes.exitCode}}',
			],
		);
		// Who is not ended by its signal in time ends with 137.
		const codes = new Map(
			ended
				.trim()
				.split("\n")
				.map((line) => line.split(" ") as [string, string]),
		);
		expect([...codes.keys()].sort()).toEqual(SERVICES);
		expect([...codes].filter(([, code]) => code === "137")).toEqual([]);
		// The engine's own beside a container ends a little after it.
		const all = async () =>
			(await processesIn(lab.a.name)).filter((name) => !["dockerd", "containerd"].includes(name));
		await until("the engine's shims have ended", async () => !(await all()).some(isShim) || undefined);
		expect(await all()).toEqual([]);
		expect(await lab.links()).toBe(links);
		expect(readdirSync("/run/netns").sort()).toEqual(namespaces);
		// What was desired stays: the next `up` goes on with it.
		await host.compose("up", "--detach", "--no-build");
		await lab.flowsAgain();
		await host.compose("down", "--volumes");
	});
});
