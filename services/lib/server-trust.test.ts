import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect as dial } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nkeys } from "@nats-io/transport-node";
import type { ServerTrust } from "./config.ts";
import { connectNats, reconnectWait } from "./connect.ts";
import { settlesWithin } from "./settles-within.ts";
import { Certificates } from "./testing/certificates.ts";
import { findNatsServer, freePort } from "./testing/nats-server.ts";
import { until } from "./testing/until.ts";

/** Of the servers: what their certificates say, and a server without one. */
const servers = ["right", "expired", "elsewhere", "named", "plain"] as const;
type Server = (typeof servers)[number];

let folder: string;
let ca: string;
let otherCa: string;
const ports = new Map<Server, number>();
const processes: Bun.Subprocess[] = [];
const user = nkeys.createUser();
const seed = new TextDecoder().decode(user.getSeed());

beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "sluice-tls-"));
	const certificates = new Certificates(folder);
	await certificates.authority("ca");
	await certificates.authority("other");
	await certificates.server("right", "IP:127.0.0.1", "ca");
	await certificates.server("expired", "IP:127.0.0.1", "ca", -1);
	await certificates.server("elsewhere", "IP:10.9.9.9", "ca");
	await certificates.server("named", "DNS:nats.example", "ca");
	ca = await readFile(certificates.path("ca.pem"), "utf8");
	otherCa = await readFile(certificates.path("other.pem"), "utf8");
	for (const name of servers) ports.set(name, await startServer(name));
}, 60_000);

afterAll(async () => {
	for (const job of processes) job.kill();
	await Promise.all(processes.map((job) => job.exited));
	await rm(folder, { recursive: true });
});

async function startServer(name: Server, on?: number): Promise<number> {
	const port = on ?? (await freePort());
	const tls = name === "plain" ? "" : `tls { cert_file: "${name}.pem", key_file: "${name}.key" }\n`;
	const users = `accounts { S { users: [{ nkey: ${user.getPublicKey()} }] } }\n`;
	await writeFile(join(folder, `${name}.conf`), `listen: "127.0.0.1:${port}"\n${tls}${users}`);
	const argv = [findNatsServer(), "-c", `${name}.conf`];
	processes.push(Bun.spawn(argv, { cwd: folder, stdio: ["ignore", "ignore", "ignore"] }));
	await until(() => greets(port));
	return port;
}

function greets(port: number): Promise<boolean> {
	return new Promise((resolve) => {
		const socket = dial(port, "127.0.0.1");
		socket.once("error", () => resolve(false));
		socket.once("data", () => {
			socket.destroy();
			resolve(true);
		});
	});
}

/** "let in", or the line that is said. */
async function attempt(server: Server, trust: ServerTrust, scheme = "nats"): Promise<string> {
	const url = `${scheme}://127.0.0.1:${ports.get(server)}`;
	const credentials = { kind: "nkey", seed, ...trust } as const;
	try {
		const nc = await connectNats({ url, name: "tls", credentials, waitOnFirstConnect: false });
		await nc.flush();
		await nc.close();
		return "let in";
	} catch (thrown) {
		expect(thrown).toMatchObject({ code: "forbidden" });
		return String(thrown).replace(`SluiceError: NATS at ${url} is not trusted: `, "");
	}
}

const EXPIRED = "its certificate has expired: renew it there, or set the clock here";
const UNKNOWN =
	"its certificate is signed by nobody known: use credentials that its sluice up made, which carry its CA";
const OTHER_NAME = "its certificate has another name: use the URL or the credentials of that server";
const PLAIN = "it does not speak TLS: start it with its certificate, or make these credentials anew there";

test("a server is let in by its authority and its name, the one of the URL or another that was told", async () => {
	expect(await attempt("right", { ca })).toBe("let in");
	expect(await attempt("right", { ca }, "tls")).toBe("let in");
	expect(await attempt("right", { ca, serverName: "127.0.0.1" })).toBe("let in");
	expect(await attempt("elsewhere", { ca, serverName: "10.9.9.9" })).toBe("let in");
	expect(await attempt("named", { ca, serverName: "nats.example" })).toBe("let in");
	expect(await attempt("plain", {})).toBe("let in");
});

test("a wrong or expired certificate is refused with what to do", async () => {
	expect(await attempt("expired", { ca })).toBe(EXPIRED);
	expect(await attempt("right", { ca: otherCa })).toBe(UNKNOWN);
	expect(await attempt("elsewhere", { ca })).toBe(OTHER_NAME);
	expect(await attempt("named", { ca })).toBe(OTHER_NAME);
	expect(await attempt("right", { ca, serverName: "nats.example" })).toBe(OTHER_NAME);
});

test("who wants TLS speaks nothing else, and who was told nothing trusts no certificate of nobody known", async () => {
	expect(await attempt("plain", { ca })).toBe(PLAIN);
	expect(await attempt("plain", {}, "tls")).toBe(PLAIN);
	expect(await attempt("right", {})).toBe(UNKNOWN);
	expect(await attempt("right", {}, "tls")).toBe(UNKNOWN);
});

test("one that runs is told once that its server begins to speak TLS, and comes back when it is believed again", async () => {
	const port = await startServer("plain");
	const restart = async (name: Server) => {
		const server = processes.pop();
		server?.kill();
		await server?.exited;
		await startServer(name, port);
	};
	const said: string[] = [];
	const nc = await connectNats({
		url: `nats://127.0.0.1:${port}`,
		name: "running",
		credentials: { kind: "nkey", seed },
		host: "relay-b",
		onUntrusted: (why) => said.push(why),
	});
	await restart("right");
	await until(() => said.length > 0);
	await restart("plain");
	await until(() => settlesWithin(nc.flush(), 500).catch(() => false));
	expect(said).toEqual([
		`NATS at nats://127.0.0.1:${port} is not trusted: its certificate is signed by nobody known: make this host's file anew on the cluster's first host with sluice credentials host relay-b, bring it here, and start sluice up with it`,
	]);
	await nc.close();
	expect(reconnectWait(() => true)()).toBeGreaterThan(10 * reconnectWait(() => false)());
}, 60_000);
