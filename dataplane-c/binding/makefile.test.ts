import { expect, test } from "bun:test";
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
