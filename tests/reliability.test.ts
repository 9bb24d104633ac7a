import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "..");
const page = readFileSync(join(ROOT, "docs/reliability.md"), "utf8");
const rows = page.split("\n").filter((line) => /^\| \d/.test(line));
const PROMISES = 15;

/** Titles of a file's tests as its source has them; "…" stands for what is filled in when it runs. */
function titles(file: string): string[] {
	const source = readFileSync(join(ROOT, file), "utf8");
	const calls = source.matchAll(/\btest(?:\.(?:skipIf|each)\([^)]*\))?\(\s*(["`])(.*?)\1/g);
	return Array.from(calls, ([, , title = ""]) => title.replaceAll(/\$\{.*?\}/g, "…").replaceAll('\\"', '"'));
}

test("each of the fifteen promises has a row, in order", () => {
	const numbers = rows.map((row) => Number(/^\| (\d+) /.exec(row)?.[1]));
	expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
	expect([...new Set(numbers)]).toEqual(Array.from({ length: PROMISES }, (_, index) => index + 1));
});

test("each row names tests that exist, by file and title", () => {
	for (const row of rows) {
		const named = [...row.matchAll(/`((?:tests|dataplane-c|services)\/[^`]+)`(?:: \*([^*]+)\*)?/g)];
		expect(named.length, row).toBeGreaterThan(0);
		for (const [, file = "", title] of named) {
			expect(existsSync(join(ROOT, file)), file).toBeTrue();
			if (file.endsWith(".test.ts")) expect(titles(file)).toContain(title ?? `a title in ${row}`);
		}
	}
});
