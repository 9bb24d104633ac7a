import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmod, chown, mkdir, mkdtemp, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Accounts } from "./accounts.ts";
import { DataDir } from "./data-dir.ts";

let path: string;
beforeEach(async () => {
	path = await mkdtemp(join(tmpdir(), "sluice-data-"));
});
afterEach(async () => {
	await rm(path, { recursive: true, force: true });
});

test("a directory in place of the lock is one line that says what to do", async () => {
	await mkdir(join(path, "lock"));
	expect(new DataDir(path).lock()).rejects.toThrow(`${path}/lock is a directory: remove it`);
});

test.skipIf(process.getuid?.() !== 0)("a pipe in place of a file is refused by name", async () => {
	await mkdir(join(path, "credentials"));
	for (const name of ["http-token", "credentials/supervisor.json"]) {
		const pipe = join(path, name);
		await Bun.$`mkfifo ${pipe}`;
		const accounts = { owner: { uid: 0, gid: 0 }, operatorsGid: 0 } as unknown as Accounts;
		await expect(new DataDir(path).prepare(accounts)).rejects.toThrow(`${pipe} is no file: remove it`);
		await rm(pipe);
	}
});

test.skipIf(process.getuid?.() !== 0)("a restored backup gets its owners and modes back", async () => {
	const nats = { name: "nats", uid: 60_001, gid: 60_001 };
	const accounts = {
		owner: { uid: 0, gid: 0 },
		operatorsGid: 60_002,
		nats,
		readers: { reader: 60_002, "control-api": 60_004 },
	} as unknown as Accounts;
	const inner = join(path, "nats/jetstream/x");
	await mkdir(inner, { recursive: true });
	await mkdir(join(path, "credentials"));
	await mkdir(join(path, "supervisor"));
	const outside = join(path, "outside");
	for (const name of [
		"outside",
		"credentials/operator.json",
		"credentials/reader.json",
		"credentials/control-api.json",
		"nats/jetstream/x/1.blk",
		"http-token",
		"supervisor/desired",
	]) {
		await writeFile(join(path, name), "x");
		await chmod(join(path, name), 0o666);
		await chown(join(path, name), 60_003, 60_003);
	}
	await symlink(outside, join(inner, "link"));
	await new DataDir(path).prepare(accounts);
	const of = async (name: string) => {
		const is = await stat(join(path, name));
		return [is.uid, is.gid, is.mode & 0o7777];
	};
	expect(await of("credentials/operator.json")).toEqual([0, 60_003, 0o600]);
	expect(await of("credentials/reader.json")).toEqual([0, 60_002, 0o640]);
	expect(await of("credentials/control-api.json")).toEqual([0, 60_004, 0o640]);
	expect((await of("nats/jetstream/x/1.blk")).slice(0, 2)).toEqual([60_001, 60_001]);
	expect((await of("nats/jetstream/x")).slice(0, 2)).toEqual([60_001, 60_001]);
	expect(await of("http-token")).toEqual([0, 0, 0o600]);
	expect((await of("supervisor/desired")).slice(0, 2)).toEqual([0, 0]);
	expect((await of("outside")).slice(0, 2)).toEqual([60_003, 60_003]);
});

test.skipIf(process.getuid?.() !== 0)("what is written belongs to whom the directory does", async () => {
	const dataDir = new DataDir(path);
	const written = async () => {
		await dataDir.write(dataDir.httpToken, "x", 0o640, 60_002);
		const { uid, gid, mode } = await stat(dataDir.httpToken);
		return [uid, gid, mode & 0o7777];
	};
	expect(await written()).toEqual([0, 60_002, 0o640]);
	await chown(path, 60_001, 60_001);
	expect(await written()).toEqual([60_001, 60_002, 0o640]);
	await dataDir.letRead(dataDir.httpToken, 60_003);
	expect(await stat(dataDir.httpToken)).toMatchObject({ uid: 60_001, gid: 60_003 });
});

const canTrace = Bun.which("strace") !== null && Bun.spawnSync(["strace", "true"]).exitCode === 0;

test.skipIf(!canTrace)("what is written is there after the power was lost", async () => {
	const script = `const { DataDir } = await import("${join(import.meta.dir, "data-dir.ts")}");
		await new DataDir("${path}").write("${path}/key", "seed", 0o600, process.getgid());`;
	// With the path of each descriptor.
	const strace = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync,rename,renameat,renameat2"];
	const child = Bun.spawn([...strace, process.execPath, "-e", script], { stderr: "pipe" });
	const calls = (await child.stderr.text()).match(/(sync|rename)\S*\(.*/g) ?? [];
	expect(await child.exited).toBe(0);
	expect(calls.map((call) => call.match(/^[a-z]+|(?<=[<"])\/[^">]*/g)?.slice(0, 2))).toEqual([
		["sync", `${path}/key.new`],
		["rename", `${path}/key.new`],
		["sync", path],
	]);
});
