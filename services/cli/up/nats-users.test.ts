import { expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "@sluice/lib/testing/until";
import { orchestratorIdentity } from "../credentials/issued.ts";
import { DataDir } from "./data-dir.ts";
import { type Identities, makeSeed, nkeyFile, publicKeyOf } from "./identities.ts";
import { currentNatsConf, followIssued, signalled } from "./nats-users.ts";
import { identityNames } from "./permissions.ts";

test("a revocation that could not be taken up is tried again, though nothing else changes", async () => {
	const path = await mkdtemp(join(tmpdir(), "sluice-nats-users-"));
	const dataDir = new DataDir(path);
	await mkdir(dataDir.credentialsFolder);
	const robot = makeSeed();
	const file = dataDir.credentials("orchestrator-robot");
	await writeFile(file, nkeyFile(orchestratorIdentity("robot"), robot, { url: "nats://127.0.0.1:4222" }));
	const identities = Object.fromEntries(
		identityNames.map((name) => {
			const seed = makeSeed();
			return [name, { name, seed, publicKey: publicKeyOf(seed) }];
		}),
	) as Identities;
	const said: string[] = [];
	const say = (text: string) => void said.push(text);
	// A warning comes when it is read just as it goes.
	const log = { info: say, warn: () => {}, error: say };
	const options = {
		hostId: "relay-a",
		serverName: "s",
		listen: "127.0.0.1:4222",
		identities,
		dataDir,
		log,
	};
	const conf = await currentNatsConf(options);
	expect(conf).toContain(publicKeyOf(robot));
	const taken: string[] = [];
	let full = 3;
	const stop = followIssued(options, {
		conf,
		async take(text) {
			if (full-- > 0) throw new Error("no space left on device");
			taken.push(text);
		},
	});
	await rm(file);
	await until(() => taken.length > 0);
	expect(taken).toHaveLength(1);
	expect(taken[0]).not.toContain(publicKeyOf(robot));
	expect(said).toEqual(["credentials cannot be taken up", "credentials changed: nats-server reads them"]);
	stop();
	await rm(path, { recursive: true });
}, 20_000);

test.skipIf(process.getuid?.() !== 0)(
	"a configuration that the disk has no room for leaves the one before as it was",
	async () => {
		const path = await mkdtemp(join(tmpdir(), "sluice-nats-full-"));
		expect(Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", path]).exitCode).toBe(0);
		let fd: number | undefined;
		try {
			const conf = join(path, "nats.conf");
			const before = "# before\n".repeat(800);
			await writeFile(conf, before);
			fd = openSync(conf, "r");
			const signals: string[] = [];
			const server = { ready: Promise.resolve(), signal: (name: string) => void signals.push(name) };
			const reader = signalled(server, fd, before);
			await expect(reader.take("# after\n".repeat(4_000))).rejects.toThrow("ENOSPC");
			expect(await readFile(conf, "utf8")).toBe(before);
			expect(signals).toEqual([]);
			const after = "# after\n".repeat(1_200);
			await reader.take(after);
			expect(await readFile(conf, "utf8")).toBe(after);
			await reader.take("# less\n");
			expect(await readFile(conf, "utf8")).toBe("# less\n");
			expect(signals).toEqual(["SIGHUP", "SIGHUP"]);
		} finally {
			if (fd !== undefined) closeSync(fd);
			Bun.spawnSync(["umount", path]);
			await rm(path, { recursive: true });
		}
	},
);
