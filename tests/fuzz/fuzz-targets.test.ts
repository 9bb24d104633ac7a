import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "../..");
const SECONDS = 10;
const SEED = 1 + Math.floor(Math.random() * 2 ** 31);

const names = readdirSync(join(ROOT, "dataplane-c/fuzz"))
	.filter((file) => file.endsWith("_fuzz.c"))
	.map((file) => file.replace("_fuzz.c", ""));

let folder = "";

beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "sluice-fuzz-"));
});

afterAll(() => {
	rmSync(folder, { recursive: true, force: true });
});

for (const name of names) {
	const program = join(ROOT, "build/fuzz", name);
	const built = existsSync(program);
	if (!built)
		console.log("skipped: no libFuzzer here when it was built: install clang and libclang-rt-14-dev");
	test.skipIf(!built)(`${name}: nothing is found in ${SECONDS} s, beginning with the corpus`, async () => {
		const job = Bun.spawn(
			[
				program,
				...[`-max_total_time=${SECONDS}`, "-timeout=10", "-rss_limit_mb=2048", `-seed=${SEED}`],
				// New inputs go to the first folder, findings beside them: the corpus stays as it is.
				...[`-artifact_prefix=${folder}/`, folder, join(ROOT, "dataplane-c/fuzz/corpus", name)],
			],
			{ stdio: ["ignore", "pipe", "pipe"] },
		);
		const text = await new Response(job.stderr).text();
		await job.exited;
		if (job.exitCode !== 0) console.log(`seed ${SEED}\n${text.slice(-8000)}`);
		expect(job.exitCode).toBe(0);
		expect(Number(/Done (\d+) runs/.exec(text)?.[1] ?? 0)).toBeGreaterThan(1000);
	});
}
