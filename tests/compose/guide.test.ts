// The commands of docs/deployment.md as they stand there, on real engines.

import { afterAll, expect, test } from "bun:test";
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { Certificates } from "@sluice/lib/testing/certificates";
import { until } from "../netns/lab/commands.ts";
import { UNROUTABLE_SOURCE } from "../netns/lab/topology.ts";
import { faults, gen, NO_FAULTS, recv } from "../netns/lab/traffic.ts";
import { Deployment } from "./lab/deployment.ts";
import { Engine } from "./lab/engine.ts";
import type { RelayHosts } from "./lab/hosts.ts";
import { describeOnEngine, withRelayHost } from "./lab/relay-host.ts";

let lab: RelayHosts;
let engine: Engine;
let host: Deployment;
/** What joins later. */
let otherEngine: Engine;
let folder: string;

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

/** With the first host's settings, in the folder of its compose files. */
function run(script: string): Promise<string> {
	return engine.shell(lab.a, folder, `export SLUICE_HOST_ID=relay-a SLUICE_WORKERS=2\n${script}`);
}

describeOnEngine("the guide", () => {
	afterAll(() => otherEngine?.remove());

	withRelayHost(async (relayHost) => {
		({ lab, engine, host, folder } = relayHost);
		for (const file of ["compose.yaml", "compose.relay.yaml", "sluice"])
			symlinkSync(`${import.meta.dir}/../../${file}`, `${folder}/${file}`);
		await relayHost.up();
	});

	test("the guide's commands from the host, of a backup, and of an upgrade work as they stand there", async () => {
		const [fromHost = ""] = blocksOf("From the host");
		const listed = await engine.shell(lab.a, folder, fromHost.replaceAll("sudo ", ""));
		expect(listed).toContain("ACTIVE on relay-a");
		expect(listed).toContain('"name":"video"');
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
		const changed = await engine.docker(
			"inspect",
			"--format",
			"{{.Config.Labels.changed}}",
			await host.idOf("relay"),
		);
		expect(changed).toBe("yes\n");
	});

	test("volumes whose files belong to others are refused in one line, and one command of the guide puts them right", async () => {
		// As the version left them whose init was root.
		const asRoot = (script: string) =>
			engine.docker(
				...["run", "--rm", "--user", "0", "--network", "none", "--entrypoint", "sh"],
				...["-v", "sluice_nats:/nats", "-v", "sluice_state:/state", "sluice:0.1.0", "-c", script],
			);
		await asRoot(
			"cd /state; mv supervisor/incarnation .; chown -R 0 .; chmod 600 installation credentials/relay.json",
		);
		await lab.flowThrough(host, async () => {
			const refused = await host.try("run", "--rm", "--no-deps", "init");
			expect(refused.code).toBe(1);
			expect(refused.stderr).toContain(
				"sluice: /var/lib/sluice belongs to user 0, not 65525: docker compose run --rm owners, then docker compose up -d\n",
			);
		});
		// And as a way to restore leaves them that keeps no owner.
		await asRoot("chown -R 0:0 /nats");
		const [, once = ""] = blocksOf("Upgrade");
		expect(once).toBe("docker compose build\ndocker compose run --rm owners\ndocker compose up -d\n");
		await run(once.replace(/^.* build$/m, "").replace("-d", "-d --force-recreate"));
		await lab.flowsAgain();
		await host.healthy();
		await host.active("video");
		const left = await host.compose("exec", "--no-TTY", "relay", "ls", "/var/lib/sluice");
		expect(left).not.toContain("incarnation");
	});

	test("with TLS a second host joins with one file, and a stream goes through both", async () => {
		const [open = "", secure = "", issue = "", second = ""] = blocksOf("Several hosts");
		await certificatesIn(`${folder}/tls`);
		// Both settings, and one `up`.
		const settingsThenUp = `${open.replace(/^docker.*$/m, "")}${secure}`;
		await run(settingsThenUp.replaceAll("sudo ", ""));
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
		const typed = second
			.replace(/^.* build$/m, "")
			.replace("sudo ", "")
			.replace(" exec ", " exec -T ");
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
			await host.sluice(
				...["control-api", "--timeout", "60", "rule", "add", name],
				"--in",
				from,
				"--out",
				to,
			);
		const receiver = await recv(lab.dst, { in: "d2:239.10.9.1:6001", expect: 2_000 });
		await gen(lab.src, { to: "s0:239.1.1.9:5001", rate: 2_000, count: 2_000, source: UNROUTABLE_SOURCE });
		const report = await receiver.report();
		expect(faults(report)).toEqual(NO_FAULTS);
		expect(report.receivedPackets).toBe(2_000);
		await joined.compose("down", "--volumes");
	});
});
