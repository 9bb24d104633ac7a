import { afterAll, beforeAll, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Certificates } from "@sluice/lib/testing/certificates";
import { until } from "./lab/commands.ts";
import { natsTools } from "./lab/nats-tools.ts";
import { Relay } from "./lab/relay.ts";
import { type Chain, chain } from "./lab/topology.ts";
import { Watching } from "./lab/watching.ts";

const folder = mkdtempSync(join(tmpdir(), "sluice-tls-"));
/** The first host is `relay`, the second `dst`: r1 and d0 are their network. */
let lab: Chain;
let first: Relay;
let second: Relay;
let made: Certificates;

const ADDRESS = "10.2.0.1";
const URL = `tls://${ADDRESS}:4222`;

beforeAll(async () => {
	made = new Certificates(folder);
	await made.authority("ca");
	// Known by a name that nobody here can look up.
	await made.server("nats", "DNS:nats.example", "ca");
	await made.server("expired", "DNS:nats.example", "ca", -1);
	lab = await chain();
	first = new Relay(lab.relay, "relay-a");
	second = new Relay(lab.dst, "relay-b");
	await first.up("--workers", "1", "--nats-listen", `${ADDRESS}:4222`, ...tls("nats"));
}, 120_000);

afterAll(async () => {
	await second?.remove();
	await first?.remove();
	await lab?.remove();
	rmSync(folder, { recursive: true, force: true });
});

function tls(certificate: string): string[] {
	const file = (name: string) => made.path(name);
	return [
		...["--nats-tls-cert", file(`${certificate}.pem`), "--nats-tls-key", file(`${certificate}.key`)],
		...["--nats-tls-ca", file("ca.pem")],
	];
}

const BUN = `${import.meta.dir}/../../.tools/bin/bun`;

/** NATS greets in plain text before TLS begins; prints the serial number of what is shown then. */
const SHOWN = `
	const socket = require("node:net").connect(4222, "${ADDRESS}");
	socket.once("data", () => {
		socket.removeAllListeners();
		const secure = require("node:tls").connect({ socket, rejectUnauthorized: false }, () => {
			console.log(secure.getPeerCertificate().serialNumber);
			process.exit(0);
		});
	});`;

/** A copy of a credentials file with something else in it. */
function altered(file: string, fields: object): string {
	const path = join(folder, `altered-${crypto.randomUUID()}.json`);
	writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), ...fields }), {
		mode: 0o600,
	});
	return path;
}

test("a host joins, and programs ask and watch, by a file that carries the authority and the server's name", async () => {
	const host = await first.issue("host", "relay-b");
	expect(host.url).toBe(URL);
	await second.up("--credentials", host.file, "--workers", "1");
	const robot = await first.issue("orchestrator", "robot");
	const { ca, serverName } = JSON.parse(readFileSync(robot.file, "utf8")) as Record<string, string>;
	expect({ ca, serverName }).toEqual({
		ca: readFileSync(made.path("ca.pem"), "utf8"),
		serverName: "nats.example",
	});
	const watching = await Watching.start(lab.relay, robot.file, "sluice.v1.event.>");
	const rule = ["--in", "d0:239.1.1.1:5001", "--out", "d1:239.10.1.1:6001", "--host", "relay-b"];
	expect(await first.sluice("rule", "add", "video", ...rule, "--credentials", robot.file)).toBe(
		"rule video: ACTIVE on relay-b\n",
	);
	await watching.next(
		"the joined host's word",
		({ subject }) => subject === "sluice.v1.event.host.relay-b.rule.video",
	);
	watching.stop();
	// Its workers publish counters themselves.
	await until("counters of the joined host", async () => {
		const { workers } = JSON.parse(await second.sluice("stats", "--json")) as { workers: { host: string }[] };
		return workers.some((worker) => worker.host === "relay-b") || undefined;
	});
});

test("whoever speaks no TLS, or does not know the certificate, is told in one line", async () => {
	const hello = "exec 3<>/dev/tcp/10.2.0.1/4222; printf 'CONNECT {}\\r\\nPING\\r\\n' >&3; timeout 5 cat <&3";
	const { stdout } = await lab.dst.run(["bash", "-c", hello]);
	expect(stdout).toContain('"tls_required":true');
	expect(stdout).not.toContain("PONG");
	const robot = (await first.issue("orchestrator", "robot")).file;
	const ask = (fields: object) => second.cli("rule", "list", "--credentials", altered(robot, fields));
	const refusal = (what: string) => ({
		code: 1,
		stdout: "",
		stderr: `sluice: NATS at ${URL} is not trusted: its certificate ${what}\n`,
	});
	expect(await ask({ ca: undefined })).toEqual(
		refusal("is signed by nobody known: use credentials that its sluice up made, which carry its CA"),
	);
	expect(await ask({ serverName: "other.example" })).toEqual(
		refusal("has another name: use the URL or the credentials of that server"),
	);
	const up = [...first.command, "up", "--data-dir", join(folder, "data")];
	const host = altered((await first.issue("host", "relay-b")).file, { serverName: "other.example" });
	expect(await lab.dst.run([...up, "--credentials", host])).toMatchObject(
		refusal(
			"has another name: make this host's file anew on the cluster's first host with sluice credentials host relay-b, bring it here, and start sluice up with it",
		),
	);
	const bad = await lab.dst.run([...up, ...tls("expired")]);
	expect(bad.code).toBe(1);
	expect(bad.stderr).toContain("expected one that is valid: it has expired on ");
});

test("a renewed certificate is shown by the running server, and nobody is cut off", async () => {
	await made.server("next", `DNS:nats.example,IP:${ADDRESS}`, "ca");
	writeFileSync(made.path("nats.key"), readFileSync(made.path("next.key")));
	writeFileSync(made.path("nats.pem"), readFileSync(made.path("next.pem")));
	await until("the log says so", () =>
		first.log.includes("certificate changed: nats-server shows the new one") ? true : undefined,
	);
	const next = new X509Certificate(readFileSync(made.path("next.pem"))).serialNumber;
	await until("the server shows it", async () =>
		(await lab.dst.must([BUN, "-e", SHOWN])).trim() === next ? true : undefined,
	);
	expect((await second.cli("rule", "list")).code).toBe(0);
	expect(second.log).not.toContain("refuses");
});

const jq = Bun.which("jq");
if (jq === null) console.log("skipped: the shell example needs jq, which is not installed here");

for (const { tool, path } of natsTools(folder))
	test.skipIf(jq === null || path === null)(
		`where the certificate has the URL's address, the shell example is believed, with ${tool}`,
		async () => {
			const robot = (await first.issue("orchestrator", "robot")).file;
			// A rule of the example's name that is there would stay as it is.
			await first.cli("rule", "remove", "video");
			const example = `${import.meta.dir}/../../docs/examples/place-rule.sh`;
			const { code, stdout } = await lab.relay.run(["env", `PATH=${path}`, example, robot, "r0", "r1"]);
			expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining("relay-a: ACTIVE\n") });
		},
	);

test("a host whose credentials were revoked is told so", async () => {
	await first.sluice("credentials", "revoke", "host", "relay-b");
	await until("its log says so", () =>
		second.log.includes(
			`NATS at ${URL} refuses the credentials of this host: make this host's file anew on the cluster's first host with ` +
				"sluice credentials host relay-b, bring it here, and start sluice up with it",
		)
			? true
			: undefined,
	);
});
