// What `./sluice test [PATTERN…]` runs: checks, C tests, unit tests, then the tests on real packets
// and whole clusters. A pattern is a part of a suite's name; without one everything runs.
// The last line is "N passed, N failed, N skipped"; the exit code is 0 only if something ran and nothing failed.

import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { Glob } from "bun";
import { type Check, checks } from "../scripts/checks.ts";
import { checkout } from "../scripts/owner.ts";
import { bunFile } from "./runner/bun-file.ts";
import { cProgram } from "./runner/c-program.ts";
import { isStopping, stopAll } from "./runner/job.ts";
import { failed, type Outcome, passed, type Suite, skipped } from "./runner/suite.ts";

/** Folders whose tests need root and the machine for themselves. */
const HEAVY_FOLDERS = ["tests/netns/", "tests/e2e/", "tests/bench/side-by-side"];
/** Heavy too, and long, but it leaves the machine room: it runs beside all that is not heavy. */
const BESIDE_OTHERS = "tests/soak/five-minutes.test.ts";
/** Of commands and their words, not of packets at rate: these bear company as well. */
const BEARS_COMPANY = "tests/e2e/cli-";

function checkSuite(check: Check): Suite {
	const name = `check: ${check.name}`;
	return {
		name,
		heavy: false,
		run: async () => {
			if (check.needs !== undefined && Bun.which(check.needs) === null)
				return skipped(name, `${check.needs} is not installed`);
			const { passed: fine, output } = await check.run();
			return fine ? passed(output) : failed(name, output);
		},
	};
}

async function scan(pattern: string): Promise<string[]> {
	const found = await Array.fromAsync(new Glob(pattern).scan({ cwd: checkout }));
	return found.filter((path) => !path.includes("node_modules/")).sort();
}

/** By source, not by what lies in build/: a test whose source is gone is no test. */
async function cSuites(): Promise<Suite[]> {
	const programs = (await scan("dataplane-c/test/*_test.c")).map((path) => basename(path, ".c"));
	return programs.flatMap((program) => [
		cProgram(program, "build/test", ""),
		cProgram(program, "build/sanitize/test", " (sanitizers)"),
	]);
}

async function bunSuites(): Promise<Suite[]> {
	const all = await scan("{proto,services,dataplane-c,tests,scripts}/**/*.test.ts");
	const heavyRank = (path: string) => HEAVY_FOLDERS.findIndex((folder) => path.startsWith(folder));
	return all
		.sort((a, b) => heavyRank(a) - heavyRank(b))
		.map((path) => bunFile(path, heavyRank(path) >= 0 || path === BESIDE_OTHERS));
}

function seconds(sinceMs: number): string {
	return `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`;
}

async function runSuite(suite: Suite): Promise<Outcome> {
	const started = performance.now();
	if (suite.heavy) console.log(`      ${suite.name} …`);
	const outcome = await suite.run();
	const verdict = outcome.failed.length > 0 ? "FAIL" : outcome.passed > 0 ? "ok  " : "skip";
	const counts = [
		outcome.passed > 0 ? `${outcome.passed} passed` : "",
		outcome.failed.length > 0 ? `${outcome.failed.length} failed` : "",
		outcome.skips.length > 0 ? `${outcome.skips.length} skipped` : "",
	].filter((count) => count !== "");
	console.log(`${verdict}  ${suite.name}  ${counts.join(", ")}  ${seconds(started)}`);
	for (const { name, reason } of outcome.skips)
		console.log(`      skipped: ${name === suite.name ? "" : `${name}: `}${reason}`);
	return outcome;
}

type Results = ReadonlyMap<Suite, Outcome>;

/** One after the other; what runs beside others starts with the first and is awaited before those that do not bear it. */
async function runSuites(suites: readonly Suite[]): Promise<Results> {
	const results = new Map<Suite, Outcome>();
	const run = async (suite: Suite) => {
		if (!isStopping()) results.set(suite, await runSuite(suite));
	};
	const beside = suites.filter(({ name }) => name === BESIDE_OTHERS);
	const others = suites.filter(({ name }) => name !== BESIDE_OTHERS);
	const bears = ({ name, heavy }: Suite) => !heavy || name.startsWith(BEARS_COMPANY);
	const running = Promise.all(beside.map(run));
	for (const suite of others.filter(bears)) await run(suite);
	await running;
	for (const suite of others.filter((suite) => !bears(suite))) await run(suite);
	return results;
}

function report(results: Results): number {
	for (const [suite, outcome] of results) {
		if (outcome.failed.length === 0) continue;
		console.log(`\n──── ${suite.name}`);
		console.log(outcome.output.trimEnd());
		for (const name of outcome.failed) console.log(`failed: ${name}`);
	}
	const sum = (count: (outcome: Outcome) => number) =>
		Array.from(results.values()).reduce((total, outcome) => total + count(outcome), 0);
	const passes = sum((outcome) => outcome.passed);
	const failures = sum((outcome) => outcome.failed.length);
	console.log(`\n${passes} passed, ${failures} failed, ${sum((outcome) => outcome.skips.length)} skipped`);
	return failures === 0 && passes > 0 ? 0 : 1;
}

async function main(patterns: readonly string[]): Promise<number> {
	const all = [...checks.map(checkSuite), ...(await cSuites()), ...(await bunSuites())];
	const suites = all.filter(
		({ name }) => patterns.length === 0 || patterns.some((pattern) => name.includes(pattern)),
	);
	if (suites.length === 0)
		console.error(`sluice: no test matches ${patterns.join(" ")}: name a part of its path`);
	if (suites.some(({ heavy }) => heavy) && process.getuid?.() !== 0) {
		console.error("sluice: tests on real packets need root for network namespaces: run sudo ./sluice test");
		return 1;
	}
	if (!existsSync(join(checkout, "build/.stamp"))) {
		console.error("sluice: nothing is built: run ./sluice test, which builds first");
		return 1;
	}
	return report(await runSuites(suites));
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stopAll);
const patterns = process.argv.slice(2);
const flag = patterns.find((word) => word.startsWith("-"));
if (flag !== undefined) {
	console.error(`sluice: unknown option ${flag}: see ./sluice test --help`);
	process.exit(2);
}
const code = await main(patterns);
process.exit(isStopping() ? 130 : code);
