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
const HEAVY_FOLDERS = ["tests/netns/", "tests/e2e/", "tests/compose/", "tests/bench/side-by-side"];
/** Heavy too, and long, but it leaves the machine room. */
const SOAK = "tests/soak/five-minutes.test.ts";
/** The longest of those that are light: at the end others would wait for them. */
const LONG_LIGHT = [
	"tests/fuzz/",
	"check: clang-tidy",
	"services/stats-aggregator/keep-figures",
	"services/control-api/rules/rule-writer-storage",
	"tests/arm64/",
	"services/lib/connect",
];
/** It uses the newer nats-server that the tests of compose fetch. */
const AFTER_COMPOSE = "services/control-api/nats/rule-batches.test.ts";
/**
 * Most of them heavy, but these mostly wait: for words and states, and a few thousand datagrams a second at most. None
 * of them bounds a time that others could stretch. The long ones first.
 */
const PATIENT = [
	// The first of them fetches and builds for all.
	compose("relay-host"),
	"dataplane-c/test/keeper_test",
	...[
		"adoption",
		"cold-start",
		"drop-reasons",
		"desired-state",
		"supervisor",
		"privileges",
		"several-hosts",
		"lost-hosts",
		"orchestrators",
		"nats-tool",
		"labels",
		"protocol",
		"held-rules",
		"deaf-rings",
		"hostile-requests",
		"hostile-frames",
		"worker-restart",
	].map(netns),
	...["restarts", "guide", "hanging", "capabilities", "files"].map(compose),
	...[
		"lazy-sockets",
		"flapping-links",
		"own-address",
		"second-host-id",
		"credentials",
		"one-to-one",
		"replaced-interface",
		"requests",
		"tls",
		"two-way",
		"generator-receiver",
	].map(netns),
	...[
		"demo",
		"cli-",
		"group-sluice",
		"up-damaged",
		"up-disk-full",
		"up-joined",
		"up-refusals",
		"up-restart",
	].map(e2e),
];

/** Shown right below a suite that failed. */
const MOST_COMPLAINTS = 10;
const COMPLAINT_WIDTH = 200;

function netns(name: string): string {
	return `tests/netns/${name}.test.ts`;
}

function compose(name: string): string {
	return `tests/compose/${name}.test.ts`;
}

function e2e(name: string): string {
	return `tests/e2e/${name}`;
}

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
		.map((path) => bunFile(path, heavyRank(path) >= 0 || path === SOAK || path === AFTER_COMPOSE));
}

function seconds(sinceMs: number): string {
	return `${((performance.now() - sinceMs) / 1000).toFixed(1)} s`;
}

/** What of a failed suite's output says most, at once: all of it stands at the end of the run, which may be cut off. */
function complaintsOf({ failed: names, output }: Outcome): string[] {
	if (names.length === 0) return [];
	const lines = output.split("\n").filter((line) => /error: |expected|received: |\(fail\)/i.test(line));
	return lines.slice(0, MOST_COMPLAINTS).map((line) => line.trim().slice(0, COMPLAINT_WIDTH));
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
	for (const note of outcome.notes ?? []) console.log(`      ${note}`);
	for (const line of complaintsOf(outcome)) console.log(`      ${line}`);
	return outcome;
}

type Results = ReadonlyMap<Suite, Outcome>;

/**
 * Side by side: the soak, the light ones one after the other, and three at a time of those that mostly wait; whoever has
 * done its own goes on with the others', from their end, whoever ran the soak too. After them, one by one, those that
 * need the machine for themselves.
 */
async function runSuites(suites: readonly Suite[]): Promise<Results> {
	const results = new Map<Suite, Outcome>();
	const runEach = async (next: () => Suite | undefined) => {
		for (let suite = next(); suite && !isStopping(); suite = next())
			results.set(suite, await runSuite(suite));
	};
	const soak = suites.filter(({ name }) => name === SOAK);
	const patient = PATIENT.flatMap((part) => suites.filter(({ name }) => name.startsWith(part)));
	const others = suites.filter((suite) => suite.name !== SOAK && !patient.includes(suite));
	const isLong = ({ name }: Suite) => LONG_LIGHT.some((part) => name.startsWith(part));
	const light = others
		.filter(({ heavy }) => !heavy)
		.toSorted((a, b) => Number(isLong(b)) - Number(isLong(a)));
	const alone = others.filter(({ heavy }) => heavy);
	const nextPatient = () => patient.shift() ?? light.pop();
	await Promise.all([
		runEach(() => soak.shift() ?? nextPatient()),
		runEach(() => light.shift() ?? patient.pop()),
		runEach(nextPatient),
		runEach(nextPatient),
		runEach(nextPatient),
	]);
	await runEach(() => alone.shift());
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
