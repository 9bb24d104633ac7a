import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { createLogger } from "@sluice/lib/log";
import { type KeptDesired, KeptDesiredSchema } from "@sluice/proto/gen/cluster";
import { KeptFile, readKept } from "./kept-file.ts";
import { encodeKept } from "./kept-format.ts";

let folder: string;
let path: string;
let lines: string[];

beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "sluice-kept-"));
	path = join(folder, "supervisor", "desired");
	lines = [];
});

afterEach(() => rm(folder, { recursive: true }));

const log = () =>
	createLogger({
		service: "supervisor",
		destination: { write: (line: string) => void lines.push(line) },
	}).facility("rules");

function kept(sequence: bigint): KeptDesired {
	const rule = { name: "video", input: { interface: "r0", group: "239.1.1.1", port: 5001 } };
	return create(KeptDesiredSchema, {
		clusterId: "c1",
		created: "2026",
		sequence,
		rules: [{ stored: { rule, uid: "u" }, revision: sequence }],
	});
}

async function write(value: KeptDesired | undefined): Promise<void> {
	const file = new KeptFile(path, () => value, log());
	file.touch();
	await file.flush();
}

test("what was written last is read back, and only root may", async () => {
	await write(kept(1n));
	await write(kept(2n));
	expect(await readKept(path, KeptDesiredSchema, log())).toEqual(kept(2n));
	expect(((await stat(path)).mode & 0o777).toString(8)).toBe("600");
	expect(await readdir(join(folder, "supervisor"))).toEqual(["desired"]);
	expect(lines).toEqual([]);
});

test("while there is nothing new to keep the file stays as it is", async () => {
	await write(kept(1n));
	await write(undefined);
	expect(await readKept(path, KeptDesiredSchema, log())).toEqual(kept(1n));
});

test("a missing file is a first start", async () => {
	expect(await readKept(path, KeptDesiredSchema, log())).toBeUndefined();
	expect(lines).toEqual([]);
});

test("every damage is seen, said in one line, and put aside", async () => {
	const sound = encodeKept(KeptDesiredSchema, kept(1n));
	const flipped = (at: number) => sound.map((byte, k) => (k === at ? byte ^ 1 : byte));
	const damages = [
		new Uint8Array(),
		...[0, 7, 8, 39, 40, sound.length - 1].map(flipped),
		...[39, 40, sound.length - 1].map((length) => sound.subarray(0, length)),
	];
	for (const bytes of damages) {
		lines = [];
		await write(kept(1n));
		await writeFile(path, bytes);
		expect(await readKept(path, KeptDesiredSchema, log())).toBeUndefined();
		expect(lines).toHaveLength(1);
		expect(await readdir(join(folder, "supervisor"))).toEqual(["desired.corrupt"]);
		expect(await readFile(`${path}.corrupt`)).toEqual(Buffer.from(bytes));
	}
});

test("what is no file is put aside as well, and a pipe is not waited for", async () => {
	await mkdir(join(folder, "supervisor"));
	await Bun.$`mkfifo ${path}`;
	expect(await readKept(path, KeptDesiredSchema, log())).toBeUndefined();
	expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual([
		`${path} is ignored and put aside: it is no file`,
	]);
	expect(await readdir(join(folder, "supervisor"))).toEqual(["desired.corrupt"]);
});

test("a place that cannot be written is said once, and nothing half written stays", async () => {
	await writeFile(join(folder, "supervisor"), "in the way");
	const file = new KeptFile(path, () => kept(1n), log());
	for (let k = 0; k < 3; k += 1) {
		file.touch();
		await file.flush();
	}
	expect(lines.filter((line) => line.includes("cannot be kept"))).toHaveLength(1);
	await rm(join(folder, "supervisor"));
	await file.flush();
	expect(await readKept(path, KeptDesiredSchema, log())).toEqual(kept(1n));
	expect(lines.at(-1)).toContain("kept on disk again");
});

test("a data directory that was moved away is not made anew, and has what changed when it is back", async () => {
	const file = new KeptFile(path, () => kept(2n), log());
	await rename(folder, `${folder}.moved`);
	file.touch();
	await file.flush();
	expect(existsSync(folder)).toBe(false);
	expect(lines.filter((line) => line.includes("cannot be kept"))).toHaveLength(1);
	await rename(`${folder}.moved`, folder);
	await file.flush();
	expect(await readKept(path, KeptDesiredSchema, log())).toEqual(kept(2n));
});
