import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NatsConnection } from "@nats-io/transport-node";
import { connectNats } from "@sluice/lib/connect";
import { findNatsServer, freePort } from "@sluice/lib/testing/nats-server";
import { makeSeed, publicKeyOf } from "../up/identities.ts";
import { natsConf, RELOADER } from "../up/nats-conf.ts";
import { permissionsOf } from "../up/permissions.ts";
import { reload } from "./reload.ts";

const reloaderSeed = makeSeed();
let folder: string;
let listen: string;
let server: Bun.Subprocess;
let nc: NatsConnection;

async function configure(...operators: string[]): Promise<void> {
	const users = operators.map((seed) => ({
		name: "operator",
		nkey: publicKeyOf(seed),
		permissions: permissionsOf("operator", "relay-a"),
	}));
	const conf = natsConf({ listen, serverName: "test", users, reloader: publicKeyOf(reloaderSeed) });
	await writeFile(join(folder, "nats.conf"), conf);
}

async function isLetIn(seed: string): Promise<boolean> {
	const credentials = { kind: "nkey", seed } as const;
	return await connectNats({
		url: `nats://${listen}`,
		credentials,
		name: "operator",
		waitOnFirstConnect: false,
	}).then(
		async (connection) => {
			await connection.close();
			return true;
		},
		() => false,
	);
}

beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "sluice-reload-"));
	listen = `127.0.0.1:${await freePort()}`;
	await configure();
	server = Bun.spawn([findNatsServer(), "-c", "nats.conf"], {
		cwd: folder,
		stdio: ["ignore", "ignore", "ignore"],
	});
	const credentials = { kind: "nkey", seed: reloaderSeed } as const;
	nc = await connectNats({ url: `nats://${listen}`, credentials, name: RELOADER });
});

afterAll(async () => {
	await nc.close();
	server.kill();
	await server.exited;
	await rm(folder, { recursive: true });
});

test("a server that is asked to reads its users anew, and drops nobody else", async () => {
	const operator = makeSeed();
	expect(await isLetIn(operator)).toBeFalse();
	await configure(operator);
	await reload(nc);
	expect(await isLetIn(operator)).toBeTrue();
	await configure();
	await reload(nc);
	expect(await isLetIn(operator)).toBeFalse();
	expect(nc.stats().inMsgs).toBeGreaterThanOrEqual(2);
});

test("a configuration that cannot be is refused, and the server goes on", async () => {
	await writeFile(join(folder, "nats.conf"), "listen: {\n");
	expect(reload(nc)).rejects.toThrow("nats-server refuses nats.conf");
	await configure();
	await reload(nc);
});

test("who may ask for that may do nothing else, and hears nothing", async () => {
	const refused = new Set<string>();
	void (async () => {
		for await (const status of nc.status())
			if (status.type === "error" && "subject" in status.error) refused.add(String(status.error.subject));
	})();
	const publish = [
		"$SYS.REQ.SERVER.PING",
		"$SYS.REQ.SERVER.X.SHUTDOWN",
		"sluice.v1.rule.put",
		"$JS.API.INFO",
	];
	const subscribe = [">", "$SYS.>", "sluice.v1.event.>"];
	for (const subject of publish) nc.publish(subject);
	for (const subject of subscribe) nc.subscribe(subject, { callback: () => {} });
	await nc.flush();
	await nc.flush();
	expect([...refused].sort()).toEqual([...publish, ...subscribe].sort());
});
