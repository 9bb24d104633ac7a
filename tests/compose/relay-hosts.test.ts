// compose.yaml and compose.relay.yaml as they are, on real engines whose "host network" is a namespace of the test's own.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	renameSync,
	rmSync,
	symlinkSync,
	writeFileSync,
} from "node:fs";
import { Certificates } from "@sluice/lib/testing/certificates";
import { SUPERVISOR_CAPABILITIES } from "../../services/cli/up/launch.ts";
import { until } from "../netns/lab/commands.ts";
import { UNROUTABLE_SOURCE } from "../netns/lab/topology.ts";
import { faults, gen, NO_FAULTS, recv } from "../netns/lab/traffic.ts";
import { Deployment } from "./lab/deployment.ts";
import { Engine, importStandIns, whyNoEngine } from "./lab/engine.ts";
import { RelayHosts } from "./lab/hosts.ts";
import { inspected } from "./lab/inspected.ts";
import { commandOf, processesIn, processIds, rightsOf } from "./lab/processes.ts";

const reason = await whyNoEngine();
if (reason !== undefined) console.log(`skipped: ${reason}`);

const SERVICES = ["control-api", "credentials", "nats", "relay", "stats-aggregator"];

let lab: RelayHosts;
let engine: Engine;
let host: Deployment;
/** What joins later. */
let otherEngine: Engine;
let folder: string;
/** What there was before. */
let links: string;

/** Of a server that is known by a name which nobody here can look up. */
async function certificatesIn(path: string): Promise<void> {
	mkdirSync(path, { mode: 0o700 });
	const made = new Certificates(path);
	await made.authority("ca");
	await made.server("cert", "DNS:nats.example", "ca");
	renameSync(made.path("cert.key"), made.path("key.pem"));
}

/** Of the guide, as it stands there. */
function blocksOf(heading: string): string[] {
	const guide = readFileSync(`${import.meta.dir}/../../docs/deployment.md`, "utf8");
	const section = guide.split(/^##+ /m).find((text) => text.startsWith(`${heading}\n`)) ?? "";
	return Array.from(section.matchAll(/^```sh\n(.*?)^```$/gms), ([, block]) => block ?? "");
}

/** The relay's container. */
async function relayId(): Promise<string> {
	const [id = ""] = (await host.compose("ps", "--all", "--quiet", "relay")).trim().split("\n");
	return id;
}

describe.skipIf(reason !== undefined)("relay hosts with compose", () => {
	beforeAll(async () => {
		lab = await RelayHosts.create();
		folder = mkdtempSync("/tmp/sluice-guide-");
		for (const file of ["compose.yaml", "compose.relay.yaml", "sluice"])
			symlinkSync(`${import.meta.dir}/../../${file}`, `${folder}/${file}`);
		links = await lab.links();
		engine = new Engine();
		host = new Deployment(engine, { SLUICE_HOST_ID: "relay-a", SLUICE_WORKERS: "2" });
		// Only what is built needs a network with a registry in it.
		await engine.start();
		await importStandIns(engine);
		await host.compose("build", "init");
		await engine.stop();
		await engine.start(lab.a);
	}, 400_000);

	afterAll(async () => {
		await otherEngine?.remove();
		await engine?.remove();
		await lab?.remove();
		if (folder) rmSync(folder, { recursive: true });
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
				init: { restart: "no", checked: false, after: {}, added: ["chown", "dac_override", "fowner"] },
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
			"relay",
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
			await lab.flowThrough(host, async () => {
				await host.compose("restart", service);
				await host.healthy();
			});
			await host.active("video");
		},
	);

	test("what hangs is unhealthy until it goes on, and costs no datagram", async () => {
		const hanging = ["nats", "control-api", "stats-aggregator", "credentials"];
		const pids = await Promise.all(hanging.map((service) => host.pidOf(service)));
		await lab.flowThrough(host, async () => {
			for (const pid of pids) process.kill(pid, "SIGSTOP");
			// Three checks, ten seconds apart.
			await until(
				"they are unhealthy",
				async () => {
					const states = (await host.containers()).filter(({ Service }) => hanging.includes(Service));
					return states.every(({ Health }) => Health === "unhealthy") || undefined;
				},
				90_000,
				500,
			).finally(() => {
				for (const pid of pids) process.kill(pid, "SIGCONT");
			});
			await host.healthy();
		});
		await host.active("video");
	});

	test("after a restart of the relay the rule flows without being asked", async () => {
		await host.compose("restart", "relay");
		await lab.flowsAgain();
		await host.healthy();
		await host.active("video");
		await lab.flows();
	});

	test("a relay container whose keeper is killed comes back", async () => {
		const before = await host.pidOf("relay");
		process.kill(before, "SIGKILL");
		await lab.flowsAgain();
		expect(await host.pidOf("relay")).not.toBe(before);
		await host.healthy();
		await host.active("video");
		await lab.flows();
	});

	test.each(["SIGTERM", "SIGKILL"] as const)(
		"after %s to the engine the rules are back and flow",
		async (signal) => {
			await engine.stop(signal);
			await engine.start(lab.a);
			await lab.flowsAgain();
			await host.healthy();
			await host.active("video");
			await lab.flows();
		},
	);

	test("a supervisor that is killed costs no datagram", async () => {
		const supervisor = async () =>
			processIds(await host.pidOf("relay")).find((pid) =>
				commandOf(pid).startsWith("./bun\0./supervisor.js"),
			);
		const keeper = await host.pidOf("relay");
		const kept = () => readdirSync(`/proc/${keeper}/fd`).length;
		const before = kept();
		await lab.flowThrough(host, async () => {
			for (let times = 0; times < 3; times += 1) {
				const pid = await until("a supervisor runs", supervisor);
				process.kill(pid, "SIGKILL");
				await until("its successor has taken over", async () => {
					const lines = (await host.compose("logs", "--no-log-prefix", "relay")).split("\n");
					const taken = lines.filter((line) => line.includes('"msg":"worker is taken over"')).length;
					return taken >= 2 * (times + 1) || undefined;
				});
			}
		});
		// Each death adds what is let go when the successor has settled.
		await until("its keeper holds as much as before", () => kept() === before || undefined);
	});

	test("a relay that ran out of memory comes back when there is some", async () => {
		const short = new Deployment(engine, { ...host.settings, SLUICE_RELAY_MEMORY: "32m" });
		await short.compose("up", "--detach", "--no-build", "--no-deps", "relay");
		const id = await relayId();
		await until("the kernel ends something of it", async () => {
			const state = await engine.docker("inspect", "--format", "{{.State.OOMKilled}} {{.RestartCount}}", id);
			return state.startsWith("true") || Number(state.split(" ")[1]) > 0 || undefined;
		});
		await engine.docker("update", "--memory", "4g", "--memory-swap", "4g", id);
		await lab.flowsAgain();
		await host.compose("up", "--detach", "--no-build", "relay");
		await host.healthy();
		await host.active("video");
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
				"sluice: credentials /run/secrets/host are not those of a host: --credentials needs the file that sluice credentials host relay-b made, no other\n",
			);
			await empty.compose("down", "--volumes");
		}));

	test("the guide's commands from the host, of a backup, and of an upgrade work as they stand there", async () => {
		const [fromHost = ""] = blocksOf("From the host");
		const listed = await engine.shell(lab.a, folder, fromHost.replaceAll("sudo ", ""));
		expect(listed).toContain("ACTIVE on relay-a");
		expect(listed).toContain('"name":"video"');
		const run = (script: string) =>
			engine.shell(lab.a, folder, `export SLUICE_HOST_ID=relay-a SLUICE_WORKERS=2\n${script}`);
		const [asFile = "", whole = "", restore = ""] = blocksOf("Backup and restore");
		await run(asFile);
		await lab.flowThrough(host, async () => void (await run(whole)));
		const before = JSON.parse(await host.sluice("control-api", "--json", "rule", "show", "video"));
		await run(restore);
		await host.healthy();
		await host.active("video");
		const { rules } = JSON.parse(await host.sluice("control-api", "--json", "rule", "list"));
		expect(rules).toHaveLength(1);
		expect(JSON.stringify(before)).toContain(rules[0].uid);
		await lab.flows();
		// Another image of that name, as `build` makes it of another commit.
		const change = "printf 'FROM sluice:0.1.0\\nLABEL changed=yes\\n' | docker build --tag sluice:0.1.0 -";
		await engine.shell(lab.a, folder, change);
		const [upgrade = ""] = blocksOf("Upgrade");
		expect(upgrade).toBe("git pull\ndocker compose build\ndocker compose up -d\n");
		await run("docker compose up -d");
		await lab.flowsAgain();
		await host.healthy();
		await host.active("video");
		const changed = await engine.docker("inspect", "--format", "{{.Config.Labels.changed}}", await relayId());
		expect(changed).toBe("yes\n");
	});

	test("with TLS a second host joins with one file, and a stream goes through both", async () => {
		const [open = "", secure = "", issue = "", second = ""] = blocksOf("Several hosts");
		await certificatesIn(`${folder}/tls`);
		// Both settings, and one `up`.
		const settingsThenUp = `${open.replace(/^docker.*$/m, "")}${secure}`;
		await engine.shell(lab.a, folder, `export SLUICE_HOST_ID=relay-a SLUICE_WORKERS=2\n${settingsThenUp}`);
		host = new Deployment(engine, {
			...host.settings,
			SLUICE_NATS_LISTEN: "10.9.0.1:4222",
			SLUICE_NATS_TLS: `${folder}/tls`,
		});
		await host.healthy();
		await engine.shell(lab.a, folder, issue);
		const file = JSON.parse(readFileSync(`${folder}/relay-b.json`, "utf8"));
		expect(file).toMatchObject({ url: "tls://10.9.0.1:4222", serverName: "nats.example" });
		writeFileSync(`${folder}/misled.json`, JSON.stringify({ ...file, serverName: "other.example" }));
		otherEngine = new Engine();
		await otherEngine.start(lab.b);
		await engine.share("sluice:0.1.0", otherEngine);
		const misled = new Deployment(
			otherEngine,
			{ SLUICE_HOST_FILE: `${folder}/misled.json` },
			"compose.relay.yaml",
		);
		const { stderr } = await misled.try("run", "--rm", "--no-deps", "init");
		expect(stderr).toContain("sluice: credentials /run/secrets/host may be read by others: chmod 600\n");
		expect(stderr).toContain(
			"sluice: NATS at tls://10.9.0.1:4222 is not trusted: its certificate has another name: ",
		);
		// The other host has settings of its own, none, and the image already; nobody sits at its terminal.
		rmSync(`${folder}/.env`);
		const typed = second.replace(/^.* build$/m, "").replace(" exec ", " exec -T ");
		expect(await otherEngine.shell(lab.b, folder, typed)).toContain("relay-a");
		const settings = { SLUICE_HOST_FILE: `${folder}/relay-b.json` };
		const joined = new Deployment(otherEngine, settings, "compose.relay.yaml");
		await joined.healthy();
		await until("both are listed there", async () => {
			const { hosts } = JSON.parse(await joined.sluice("relay", "--json", "host", "list"));
			const names = (hosts as { host: string }[]).map(({ host }) => host).sort();
			return names.join(" ") === "relay-a relay-b" || undefined;
		});
		for (const [name, from, to] of [
			["to-the-other", "r0:239.1.1.9:5001", "to-b:239.9.1.1:6001"],
			["from-the-first", "from-a:239.9.1.1:6001", "out:239.10.9.1:6001"],
		] as const)
			await host.sluice("control-api", "rule", "add", name, "--in", from, "--out", to);
		const receiver = await recv(lab.dst, { in: "d2:239.10.9.1:6001", expect: 2_000 });
		await gen(lab.src, { to: "s0:239.1.1.9:5001", rate: 2_000, count: 2_000, source: UNROUTABLE_SOURCE });
		const report = await receiver.report();
		expect(faults(report)).toEqual(NO_FAULTS);
		expect(report.receivedPackets).toBe(2_000);
		await joined.compose("down", "--volumes");
	});

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
		const left = (await processesIn(lab.a.name)).filter((name) => !["dockerd", "containerd"].includes(name));
		expect(left).toEqual([]);
		expect(await lab.links()).toBe(links);
		expect(readdirSync("/run/netns").sort()).toEqual(namespaces);
		// What was desired stays: the next `up` goes on with it.
		await host.compose("up", "--detach", "--no-build");
		await lab.flowsAgain();
		await host.compose("down", "--volumes");
	});
});
