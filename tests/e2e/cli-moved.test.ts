import { afterAll, beforeAll, expect, test } from "bun:test";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "../..");

let moved: string;

beforeAll(async () => {
	moved = await mkdtemp(join(tmpdir(), "sluice-test-"));
	for (const file of ["cli.js", "cli.js.jsc"]) await cp(`${ROOT}/build/${file}`, join(moved, file));
});

afterAll(async () => {
	await rm(moved, { recursive: true, force: true });
});

// What was compiled knows where it was built, and could run what lies there.
test("a build that was moved runs what lies beside it", async () => {
	await writeFile(join(moved, "sluice-gen"), '#!/bin/sh\necho "moved: $*"\n', { mode: 0o755 });
	const bun = `${ROOT}/.tools/bin/bun`;
	const { stdout, exitCode } = Bun.spawnSync([
		...[bun, "--no-install", "--no-env-file", "--config=/dev/null", join(moved, "cli.js")],
		...["gen", "--to", "lo:239.1.1.1:5001", "--rate", "1", "--count", "1"],
	]);
	expect(stdout.toString()).toStartWith("moved: ");
	expect(exitCode).toBe(0);
});
