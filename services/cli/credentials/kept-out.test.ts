import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serverNameOf } from "../up/nats-conf.ts";
import { keptOutHere } from "./kept-out.ts";

const CA = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n";

let folder: string;
beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "sluice-kept-out-"));
	await mkdir(join(folder, "credentials"));
	await writeFile(join(folder, "nats.conf"), `server_name: "${serverNameOf("relay-a")}"\n`);
});
afterEach(() => rm(folder, { recursive: true }));

async function write(name: string, trust: object): Promise<string> {
	const path = join(folder, "credentials", `${name}.json`);
	await writeFile(path, JSON.stringify({ url: "nats://127.0.0.1:4222", ...trust }));
	return path;
}

test("a host whose file knows another certificate than the server's, or none, is kept out though it was never seen", async () => {
	await write("reader", { ca: CA, serverName: "nats.example" });
	const before = await write("host-relay-b", {});
	await write("host-relay-c", { ca: CA, serverName: "nats.example" });
	const why = await keptOutHere(folder);
	expect(why?.("relay-b")).toEqual({ why: "another server", file: before });
	expect(why?.("relay-c")).toBeUndefined();
	expect(why?.("relay-d")).toEqual({ why: "no credentials" });
	// It has its keys from its own up.
	expect(why?.("relay-a")).toBeUndefined();
});
