import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nextIncarnation } from "./incarnation.ts";

let path: string;
let said: string[];
const log = { warn: (line: string) => void said.push(line) };
beforeEach(async () => {
	said = [];
	path = await mkdtemp(join(tmpdir(), "sluice-incarnation-"));
});
afterEach(() => rm(path, { recursive: true }));

const folder = () => ({
	incarnation: join(path, "incarnation"),
	write: (to: string, text: string) => writeFile(to, text),
});

test("an incarnation is the time of its start, and grows though the clock went back", async () => {
	expect(await nextIncarnation(folder(), log, 1_000)).toBe(1_000n);
	expect(await nextIncarnation(folder(), log, 2_000)).toBe(2_000n);
	expect(await nextIncarnation(folder(), log, 5)).toBe(2_001n);
	expect(await nextIncarnation(folder(), log, 2_001)).toBe(2_002n);
	expect(await nextIncarnation(folder(), log, 3_000)).toBe(3_000n);
	expect(await readFile(join(path, "incarnation"), "utf8")).toBe("3000\n");
});

test("a file that is damaged, or cannot be written, keeps nobody from starting", async () => {
	await writeFile(join(path, "incarnation"), "nonsense");
	expect(await nextIncarnation(folder(), log, 7)).toBe(7n);
	const full = { ...folder(), write: () => Promise.reject(new Error("ENOSPC")) };
	expect(await nextIncarnation(full, log, 9)).toBe(9n);
	expect(said).toEqual([expect.stringMatching(/^this start is not noted: .*: ENOSPC$/)]);
});
