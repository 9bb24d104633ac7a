import { expect, test } from "bun:test";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";

const folder = join(import.meta.dir, "..");
const build = join(folder, "../build");

/** Objects that would be compiled if a header that they include were newer. */
function compiledAfter(header: string, buildFolder: string): string[] {
	const asked = ["make", "-n", "-C", folder, "-W", header, `BUILD=${buildFolder}`, "all"];
	const { stdout } = Bun.spawnSync(asked, { stderr: "ignore" });
	return [...stdout.toString().matchAll(/ -c -o \S*\/(\S+\.o) /g)].map(([, object]) => object ?? "").sort();
}

test("a header that changes makes its objects stale, however the build folder is written", () => {
	const whole = compiledAfter("include/sluice.h", build);
	expect(whole).toContain("duty_cycle.o");
	expect(compiledAfter("include/sluice.h", relative(folder, build))).toEqual(whole);
	expect(compiledAfter("include/sluice.h", `${folder}/../build`)).toEqual(whole);
});

test("a checkout in a folder whose name has spaces is built as any other", async () => {
	const above = await mkdtemp(join(tmpdir(), "sluice a b-"));
	const copy = join(above, "dataplane-c");
	try {
		await cp(folder, copy, { recursive: true, filter: (source) => !source.endsWith("node_modules") });
		const { exitCode, stderr } = Bun.spawnSync([
			...["make", "--silent", "-C", copy, `BUILD=${join(above, "build")}`],
			...["../build/sluice-keeper"],
		]);
		expect({ exitCode, stderr: `${stderr}` }).toEqual({ exitCode: 0, stderr: "" });
		expect(await Bun.file(join(above, "build/sluice-keeper")).exists()).toBe(true);
		const asked = ["make", "--question", "-C", copy, "../build/sluice-keeper"];
		expect(Bun.spawnSync(asked).exitCode).toBe(0);
	} finally {
		await rm(above, { recursive: true });
	}
}, 120_000);
