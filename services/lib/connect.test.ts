import { afterEach, expect, setSystemTime, test } from "bun:test";
import { once } from "node:events";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nkeys } from "@nats-io/transport-node";
import { connectNats, readCredentials } from "./connect.ts";
import { settlesWithin } from "./settles-within.ts";
import { findNatsServer, freePort, startNatsServer } from "./testing/nats-server.ts";
import { until } from "./testing/until.ts";

const folders: string[] = [];
afterEach(async () => {
	for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

async function file(content: string): Promise<string> {
	const folder = await mkdtemp(join(tmpdir(), "sluice-credentials-"));
	folders.push(folder);
	const path = join(folder, "operator.json");
	await writeFile(path, content);
	await chmod(path, 0o600);
	return path;
}

/** What a server says before it is asked. */
async function firstLineOf(url: string): Promise<string> {
	const socket = connect(Number(new URL(url).port), "127.0.0.1");
	const [line] = (await once(socket, "data")) as [Buffer];
	socket.destroy();
	return String(line);
}

test("a credentials file is read; what is wrong with one is said without its seed", async () => {
	const seed = new TextDecoder().decode(nkeys.createUser().getSeed());
	const right = { kind: "nkey", name: "operator", seed, url: "nats://127.0.0.1:4222" };
	expect(await readCredentials(await file(JSON.stringify(right)))).toEqual({ ...right, kind: "nkey" });
	await expect(readCredentials("/nowhere/operator.json")).rejects.toThrow("cannot be read");
	await expect(readCredentials(await file(`{"seed":"${seed}"`))).rejects.toThrow(
		/^credentials \S+: not JSON: name another file, or, if it is one that sluice up wrote, stop and start that$/,
	);
	await expect(readCredentials(await file('{"kind":"host","host":"relay-b"}'))).rejects.toThrow(
		"a host's, for sluice up: give an operator's or orchestrator's",
	);
	await expect(readCredentials(await file(JSON.stringify({ ...right, seed: "SUx" })))).rejects.toThrow(
		"seed: is not an nkey user seed",
	);
	await expect(readCredentials(await file("null"))).rejects.toThrow(
		/^credentials \S+: .*received null: name another file, or, if it is one that sluice up wrote, stop and start that$/,
	);
});

test("a credentials file without an end is refused", async () => {
	await expect(readCredentials("/dev/zero")).rejects.toThrow("credentials /dev/zero has over 65536 bytes");
});

test("inboxes carry the name, so that a server can grant each service only its own", async () => {
	const server = await startNatsServer();
	const nc = await server.connect("stats-aggregator");
	let reply = "";
	nc.subscribe("ask", {
		callback: (_, message) => {
			reply = message.reply ?? "";
			message.respond("ok");
		},
	});
	await nc.request("ask", "", { timeout: 20_000 });
	expect(reply).toStartWith("_INBOX.stats-aggregator.");
	await server.stop();
});

test("a server that is not there is unavailable at once when nobody wants to wait", async () => {
	const url = `nats://127.0.0.1:${await freePort()}`;
	await expect(
		connectNats({ url, name: "cli", waitOnFirstConnect: false, timeoutMs: 1_000 }),
	).rejects.toMatchObject({
		code: "unavailable",
		message: expect.stringContaining(`NATS at ${url} is not reachable`),
	});
});

test("an address without a route, and a name that nobody knows, are told from a server that refuses", async () => {
	const script = `const { connectNats } = await import("${join(import.meta.dir, "connect.ts")}");
		for (const host of ["10.9.9.9", "[2001:db8::9]", "no-such-host.invalid"])
			await connectNats({ url: "nats://" + host + ":4222", name: "cli", waitOnFirstConnect: false })
				.catch(({ message }) => console.log(message));`;
	// A namespace of its own has no network at all.
	const child = Bun.spawn(["unshare", "--net", "--map-root-user", process.execPath, "-e", script]);
	expect((await child.stdout.text()).trim().split("\n")).toEqual([
		"NATS at nats://10.9.9.9:4222 is not reachable: this host has no route there",
		"NATS at nats://[2001:db8::9]:4222 is not reachable: this host has no route there",
		expect.stringMatching(/ is not reachable: (no name server answers for|nobody knows) that name$/),
	]);
});

test("one that takes the connection and says nothing gave no answer", async () => {
	const silent = createServer();
	await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
	const url = `nats://127.0.0.1:${(silent.address() as AddressInfo).port}`;
	const refused = await connectNats({ url, name: "cli", waitOnFirstConnect: false, timeoutMs: 300 }).catch(
		String,
	);
	const [, took = "", unit] = / is not reachable: no answer within ([\d.]+) (ms|s)$/.exec(`${refused}`) ?? [];
	expect(Number(took) * (unit === "s" ? 1_000 : 1)).toBeGreaterThanOrEqual(300);
	silent.close();
});

test("whoever waits for a server that does not let it in is told so once, and again after it was let in", async () => {
	const users = [nkeys.createUser(), nkeys.createUser()];
	const [kept, revoked] = users.map((user) => user.getPublicKey());
	const folder = await mkdtemp(join(tmpdir(), "sluice-refused-"));
	folders.push(folder);
	const listen = `127.0.0.1:${await freePort()}`;
	const admit = async (...keys: (string | undefined)[]) => {
		const list = keys.map((key) => `{ nkey: ${key} }`).join(", ");
		await writeFile(join(folder, "nats.conf"), `listen: "${listen}"\naccounts { S { users: [${list}] } }\n`);
	};
	await admit(kept, revoked);
	const argv = [findNatsServer(), "-c", join(folder, "nats.conf")];
	const server = Bun.spawn(argv, { stdio: ["ignore", "ignore", "ignore"] });
	let refusals = 0;
	const options = {
		url: `nats://${listen}`,
		credentials: { kind: "nkey", seed: new TextDecoder().decode(users[1]?.getSeed()) },
		onRefused: () => {
			refusals += 1;
		},
	} as const;
	const running = await connectNats({ ...options, name: "running" });
	expect(refusals).toBe(0);
	await admit(kept);
	server.kill("SIGHUP");
	await until(() => refusals === 1);
	const waiting = connectNats({ ...options, name: "waiting" });
	await until(() => refusals === 2);
	await admit(kept, revoked);
	server.kill("SIGHUP");
	await (await waiting).close();
	// What is asked while the connection is away is lost.
	await until(() => settlesWithin(running.flush(), 500).catch(() => false));
	await admit(kept);
	server.kill("SIGHUP");
	await until(() => refusals === 3);
	await running.close();
	server.kill();
	await server.exited;
}, 60_000);

test("a server that just reads its users anew refuses once: that is not the last word", async () => {
	let refusals = 1;
	let connections = 0;
	const server = createServer((socket) => {
		connections += 1;
		socket.write(`INFO {"server_id":"x","version":"2.10.0","proto":1,"max_payload":1000,"headers":true}\r\n`);
		if (connections <= refusals) socket.end("-ERR 'Authorization Violation'\r\n");
		else socket.on("data", (data) => String(data).includes("PING") && socket.write("PONG\r\n"));
		socket.on("error", () => {});
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const { port } = server.address() as AddressInfo;
	const ask = () => connectNats({ url: `127.0.0.1:${port}`, name: "cli", waitOnFirstConnect: false });
	const nc = await ask();
	await nc.close();
	expect(connections).toBe(2);
	refusals = 4;
	await expect(ask()).rejects.toMatchObject({ code: "unauthenticated" });
	expect(connections).toBe(4);
	server.close();
});

test("a server that just reads its users anew hangs up without a word: that is not the last word either", async () => {
	let connections = 0;
	const server = await startNatsServer();
	const info = await firstLineOf(server.url);
	const door = createServer((socket) => {
		connections += 1;
		socket.on("error", () => {});
		if (connections === 1) return void socket.end(info);
		const far = connect(Number(new URL(server.url).port), "127.0.0.1");
		socket.pipe(far).pipe(socket);
		far.on("error", () => {});
	});
	try {
		await new Promise<void>((resolve) => door.listen(0, "127.0.0.1", resolve));
		const { port } = door.address() as AddressInfo;
		const nc = await connectNats({ url: `127.0.0.1:${port}`, name: "cli", waitOnFirstConnect: false });
		await nc.close();
		expect(connections).toBe(2);
	} finally {
		door.close();
		await server.stop();
	}
});

test("a service that is started before its server waits for it", async () => {
	const server = await startNatsServer();
	await server.kill();
	const connecting = connectNats({ url: server.url, name: "early", timeoutMs: 500 });
	await server.start();
	const nc = await connecting;
	expect(nc.isClosed()).toBe(false);
	await nc.close();
	await server.stop();
});

test("a server that stands still is given up, and found again when it goes on", async () => {
	const server = await startNatsServer();
	try {
		const nc = await connectNats({ url: server.url, name: "asking", timeoutMs: 500 });
		const seen = { disconnect: false, reconnect: false };
		void (async () => {
			for await (const { type } of nc.status()) if (type in seen) seen[type as keyof typeof seen] = true;
		})();
		await server.standStill();
		await until(() => seen.disconnect);
		expect(seen.reconnect).toBe(false);
		server.goOn();
		await until(() => seen.reconnect);
		await nc.flush();
		await nc.close();
	} finally {
		server.goOn();
		await server.stop();
	}
}, 60_000);

test("a clock that is set back an hour keeps nobody from coming back", async () => {
	const server = await startNatsServer();
	try {
		const nc = await connectNats({ url: server.url, name: "clocked" });
		const back = (async () => {
			for await (const { type } of nc.status()) if (type === "reconnect") return;
		})();
		setSystemTime(new Date(Date.now() - 3_600_000));
		await server.kill();
		await server.start();
		expect(await settlesWithin(back, 20_000)).toBe(true);
		await nc.close();
	} finally {
		setSystemTime();
		await server.stop();
	}
}, 60_000);
